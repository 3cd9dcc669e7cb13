/** Converted TensorFlow graphs as ONNX graphs: shapes computed by nodes, names, and what is refused. Models that other people trained: packages/engine. */
import { printGraph, trace } from '@coda-nets/onnx';
import { graphModelFunction } from '@coda-nets/onnx/graph-model';
import { useBackend } from '@coda-nets/tools/testkit';
import type { GraphModel } from '@tensorflow/tfjs-converter';
import { beforeAll, describe, expect, it } from 'vitest';
import { graphOf, placeholder, type GraphNode } from './graph-definition.ts';

beforeAll(() => useBackend('cpu'));

const text = (model: GraphModel, options = {}): string => {
  const { fn, signature, names } = graphModelFunction(model, options);
  return printGraph(trace(fn, signature, { names }));
};
const float = { T: { type: 'DT_FLOAT' } };

/** [n, 2, 3] → [n, 6], the batch read from the shape as Keras writes it. */
const flatten: readonly GraphNode[] = [
  placeholder('x', [-1, 2, 3]),
  { name: 'shape', op: 'Shape', input: ['x'] },
  {
    name: 'size',
    op: 'StridedSlice',
    input: ['shape', 'zero', 'one', 'one'],
    attr: { shrinkAxisMask: { i: '1' }, shrink_axis_mask: { i: '1' } },
  },
  { name: 'target', op: 'Pack', input: ['size', 'six'], attr: { axis: { i: '0' } } },
  { name: 'y', op: 'Reshape', input: ['x', 'target'], attr: float },
];

describe('graphModelFunction', () => {
  it('computes while tracing what depends on shapes alone, and keeps the batch open', async () => {
    const model = await graphOf(flatten, { zero: [0], one: [1], six: 6 });
    expect(text(model)).toBe(
      [
        'graph(x: float32[batch, 2, 3])',
        '  constant constant_0: int64[2]',
        '  y: float32[batch, 6] = Reshape(x, constant_0)',
        '  return y',
      ].join('\n'),
    );
  });

  it('names weights after their nodes', async () => {
    const model = await graphOf([placeholder('x', [-1, 2], 'DT_INT32'), { name: 'sum', op: 'AddV2', input: ['x', 'offset'] }], {
      offset: [3, 4],
    });
    expect(text(model)).toContain('constant offset: int32[2]');
  });

  it('refuses control flow by the name of its node', async () => {
    const model = await graphOf([placeholder('x', [-1]), { name: 'where/am_i', op: 'Where', input: ['x'] }]);
    expect(() => text(model)).toThrow(
      'model: node "where/am_i": Where is control flow, or its size depends on values: no graph of fixed operations. Export the part of the model before it.',
    );
  });

  it('refuses random numbers', async () => {
    const nodes: GraphNode[] = [
      placeholder('x', [-1, 2]),
      { name: 'noise', op: 'RandomUniform', input: ['two'], attr: { dtype: { type: 'DT_FLOAT' }, seed: { i: '1' } } },
      { name: 'y', op: 'AddV2', input: ['x', 'noise'] },
    ];
    const model = await graphOf(nodes, { two: [2] });
    expect(() => text(model)).toThrow('trace: randomUniform: the function draws random numbers, which a graph would repeat at every call');
  });

  it('refuses strings', async () => {
    const model = await graphOf([placeholder('text', [-1], 'DT_STRING'), { name: 'y', op: 'Identity', input: ['text'] }]);
    expect(() => graphModelFunction(model)).toThrow(
      'model: input "text": a type that graphs do not take here; expected float32, int32 or bool, got string',
    );
  });

  it('asks for the shape of an input that has none', async () => {
    const model = await graphOf([
      { name: 'x', op: 'Placeholder', attr: { dtype: { type: 'DT_FLOAT' } } },
      { name: 'y', op: 'Relu', input: ['x'] },
    ]);
    expect(() => graphModelFunction(model)).toThrow(
      'model: input "x": the model does not say which shape it has. Give it: shapes: { "x": [\'batch\', …] }.',
    );
    expect(text(model, { shapes: { x: ['batch', 2] } })).toContain('y: float32[batch, 2] = Relu(x)');
  });
});
