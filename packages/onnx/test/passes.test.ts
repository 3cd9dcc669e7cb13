/** One graph a pass, as text before and after; what the runner refuses; what no pass may do. Numbers: packages/engine/test/passes.test.ts. */
import { ndArray, zerosArray, type Signature, type TensorFunction } from '@coda-nets/core';
import { exactPasses, inferencePasses, nameTensor, printGraph, runPasses, trace, type Graph, type Pass } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../src/graph-builder.ts';

beforeAll(() => useBackend('cpu'));

const passOf = (name: string): Pass => inferencePasses.find((pass) => pass.name === name) as Pass;
const lines = (graph: Graph): string[] =>
  printGraph(graph)
    .split('\n')
    .map((line) => line.trim());
const after = (pass: string, graph: Graph): string[] => lines(runPasses(graph, [passOf(pass)]));
const float = (...shape: (number | 'batch')[]) => ({ shape, dtype: 'float32' as const });
const numbers = (shape: number[], f: (i: number) => number) =>
  ndArray(
    'float32',
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => f(i)),
  );
const ofConstants = (fn: TensorFunction, constants: Signature['constants']): Graph =>
  trace(fn, { inputs: { x: float(2, 3) }, constants: constants ?? {} });

describe('passes', () => {
  it('fold constants: what reads constants alone', () => {
    const graph = ofConstants(({ x, w }) => ({ y: tf.matMul(x as tf.Tensor2D, tf.transpose(tf.sqrt(w as tf.Tensor2D))) }), {
      w: numbers([4, 3], (i) => i * i),
    });
    expect(lines(graph)).toEqual([
      'graph(x: float32[2, 3])',
      'constant w: float32[4, 3]',
      'Sqrt_0: float32[4, 3] = Sqrt(w)',
      'y: float32[2, 4] = Gemm(x, Sqrt_0, transA=0, transB=1)',
      'return y',
    ]);
    const folded = runPasses(graph, [passOf('fold constants')]);
    expect(lines(folded)).toEqual([
      'graph(x: float32[2, 3])',
      'constant w: float32[4, 3]',
      'constant constant_0: float32[4, 3]',
      'y: float32[2, 4] = Gemm(x, constant_0, transA=0, transB=1)',
      'return y',
    ]);
    expect([...folded.constants.values()].at(-1)?.data).toEqual(Float32Array.from({ length: 12 }, (_, i) => i));
  });

  it("fold constants leaves x · 0, which is NaN where x is, and sums of products, which are no runtime's bits", () => {
    const zero = ofConstants(({ x }) => ({ y: tf.mul(x as tf.Tensor, 0) }), {});
    expect(after('fold constants', zero)).toContain('y: float32[2, 3] = Mul(x, constant_0)');
    const product = ofConstants(({ x, w }) => ({ y: tf.mul(tf.sum(x as tf.Tensor), tf.matMul(w as tf.Tensor2D, w as tf.Tensor2D)) }), {
      w: numbers([3, 3], (i) => i),
    });
    expect(runPasses(product, exactPasses).nodes.map(({ op }) => op)).toContain('Gemm');
    const summed = runPasses(product, inferencePasses);
    expect(summed.nodes.map(({ op }) => op)).toEqual(['ReduceSum', 'Mul']);
    expect(
      [...summed.constants.values()].filter(({ dtype }) => dtype === 'float32').map(({ data }) => [...(data as Float32Array)]),
    ).toEqual([[15, 18, 21, 42, 54, 66, 69, 90, 111]]);
  });

  it('merge reshapes: one for many, none for none', () => {
    const builder = new GraphBuilder();
    const x = builder.input('x', 'float32', [2, 6]);
    const reshape = (value: typeof x, shape: readonly number[]) => builder.emit('Reshape', [value, builder.int64(shape)], 'float32', shape);
    const there = reshape(reshape(x, [3, 4]), [12]);
    const back = builder.emit('Relu', [reshape(there, [2, 6])], 'float32', [2, 6]);
    const graph = builder.finish({ y: builder.emit('Neg', [there], 'float32', [12]), z: back });
    expect(lines(graph).slice(4, -1)).toEqual([
      'Reshape_0: float32[3, 4] = Reshape(x, constant_0)',
      'Reshape_1: float32[12] = Reshape(Reshape_0, constant_1)',
      'Reshape_2: float32[2, 6] = Reshape(Reshape_1, constant_2)',
      'z: float32[2, 6] = Relu(Reshape_2)',
      'y: float32[12] = Neg(Reshape_1)',
    ]);
    expect(after('merge reshapes', graph).slice(4, -1)).toEqual([
      'Reshape_0: float32[3, 4] = Reshape(x, constant_0)',
      'Reshape_1: float32[12] = Reshape(x, constant_1)',
      'z: float32[2, 6] = Relu(x)',
      'y: float32[12] = Neg(Reshape_1)',
    ]);
  });

  it('merge transposes: past what is computed element by element, until two meet', () => {
    const builder = new GraphBuilder();
    const x = builder.input('x', 'float32', [2, 3, 4, 5]);
    const move = (value: typeof x, perm: readonly number[]) =>
      builder.emit(
        'Transpose',
        [value],
        'float32',
        perm.map((axis) => value.shape[axis] as number),
        { perm: { ints: perm } },
      );
    const last = move(x, [0, 2, 3, 1]);
    const scaled = builder.emit('Mul', [last, builder.constant(numbers([3], (i) => i))], 'float32', last.shape);
    const relu = builder.emit('Relu', [scaled], 'float32', last.shape);
    const graph = builder.finish({ y: builder.emit('Neg', [move(relu, [0, 3, 1, 2])], 'float32', x.shape) });
    expect(lines(graph).slice(2, -1)).toEqual([
      'Transpose_0: float32[2, 4, 5, 3] = Transpose(x, perm=[0, 2, 3, 1])',
      'Mul_0: float32[2, 4, 5, 3] = Mul(Transpose_0, constant_0)',
      'Relu_0: float32[2, 4, 5, 3] = Relu(Mul_0)',
      'Transpose_1: float32[2, 3, 4, 5] = Transpose(Relu_0, perm=[0, 3, 1, 2])',
      'y: float32[2, 3, 4, 5] = Neg(Transpose_1)',
    ]);
    expect(after('merge transposes', graph)).toEqual([
      'graph(x: float32[2, 3, 4, 5])',
      'constant constant_0: float32[1, 3, 1, 1]',
      'Mul_0: float32[2, 3, 4, 5] = Mul(x, constant_0)',
      'Relu_0: float32[2, 3, 4, 5] = Relu(Mul_0)',
      'y: float32[2, 3, 4, 5] = Neg(Relu_0)',
      'return y',
    ]);
  });

  const image = { inputs: { x: float(1, 6, 6, 2) } };
  const filter = numbers([3, 3, 2, 4], (i) => i / 7);
  const padded = (x: tf.Tensor, w: tf.Tensor): tf.Tensor4D =>
    tf.conv2d(
      tf.pad(x as tf.Tensor4D, [
        [0, 0],
        [1, 1],
        [1, 2],
        [0, 0],
      ]),
      w as tf.Tensor4D,
      1,
      'valid',
    );

  it("merge pads: zeros around images become a convolution's own", () => {
    const channelsFirst = trace(({ x, w }) => ({ y: padded(tf.transpose(x as tf.Tensor, [0, 2, 3, 1]), w as tf.Tensor) }), {
      inputs: { x: float(1, 2, 6, 6) },
      constants: { w: filter },
    });
    expect(lines(channelsFirst).filter((line) => /= (Pad|Conv)\(/.test(line))).toEqual([
      'Pad_0: float32[1, 2, 8, 9] = Pad(x, constant_0)',
      'Conv_0: float32[1, 4, 6, 7] = Conv(Pad_0, Transpose_0, kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], pads=[0, 0, 0, 0])',
    ]);
    expect(after('merge pads', channelsFirst)).toContain(
      'Conv_0: float32[1, 4, 6, 7] = Conv(x, Transpose_0, kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], pads=[1, 1, 1, 2])',
    );
  });

  it('fold batch norm: into the filter and a bias, by the names of the weights', () => {
    const graph = trace(
      ({ x, ...weights }) => {
        const w = (name: string) => weights[name] as tf.Tensor;
        const y = tf.conv2d(x as tf.Tensor4D, w('a.weight') as tf.Tensor4D, 1, 'same');
        return { y: tf.relu(tf.add(tf.mul(y, w('bn.scale')), w('bn.shift'))) };
      },
      { ...image, constants: { 'a.weight': filter, 'bn.scale': numbers([4], (i) => i - 1), 'bn.shift': numbers([4], (i) => i) } },
    );
    const folded = runPasses(graph, inferencePasses);
    expect(lines(folded)).toEqual([
      'graph(x: float32[1, 6, 6, 2])',
      'constant a.weight: float32[4, 2, 3, 3]',
      'constant a.bias: float32[4]',
      'Transpose_0: float32[1, 2, 6, 6] = Transpose(x, perm=[0, 3, 1, 2])',
      'a: float32[1, 4, 6, 6] = Conv(Transpose_0, a.weight, a.bias, kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], pads=[1, 1, 1, 1])',
      'a/Relu: float32[1, 4, 6, 6] = Relu(a)',
      'y: float32[1, 6, 6, 4] = Transpose(a/Relu, perm=[0, 2, 3, 1])',
      'return y',
    ]);
    expect([...folded.constants.values()].at(-1)?.data).toEqual(Float32Array.of(0, 1, 2, 3));
  });

  it('fold batch norm leaves a convolution that something else reads', () => {
    const graph = trace(
      ({ x, w, s }) => {
        const y = tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same');
        return { y: tf.sub(tf.mul(y, s as tf.Tensor), tf.relu(y)) };
      },
      { ...image, constants: { w: filter, s: numbers([4], (i) => i + 2) } },
    );
    expect(runPasses(graph, inferencePasses).nodes.map(({ op }) => op)).toContain('Mul');
  });

  it('share common subexpressions: of a graph for any batch size, with constants of equal bits, weights by name', () => {
    const builder = new GraphBuilder();
    const x = builder.input('x', 'float32', [2]);
    const [a, b, c] = ['a', undefined, 'c'].map((name) =>
      builder.constant(
        numbers([100], () => 1),
        name,
      ),
    ) as [typeof x, typeof x, typeof x];
    const parts = [a, b, c].map((w) => builder.emit('Add', [builder.emit('ReduceSum', [w], 'float32', []), x], 'float32', [2]));
    const graph = builder.finish({ y: builder.emit('Sum', parts, 'float32', [2]) });
    expect(after('share common subexpressions', graph)).toEqual([
      'graph(x: float32[2])',
      'constant a: float32[100]',
      'constant c: float32[100]',
      'ReduceSum_0: float32[] = ReduceSum(a)',
      'Add_0: float32[2] = Add(ReduceSum_0, x)',
      'ReduceSum_1: float32[] = ReduceSum(c)',
      'Add_1: float32[2] = Add(ReduceSum_1, x)',
      'y: float32[2] = Sum(Add_0, Add_0, Add_1)',
      'return y',
    ]);
  });

  it('eliminate dead code: what no output needs', () => {
    const builder = new GraphBuilder();
    const x = builder.input('x', 'float32', [2]);
    builder.emit('Exp', [builder.constant(numbers([2], (i) => i))], 'float32', [2]);
    const graph = builder.finish({ y: builder.emit('Neg', [x], 'float32', [2]) });
    expect(after('eliminate dead code', graph)).toEqual(['graph(x: float32[2])', 'y: float32[2] = Neg(x)', 'return y']);
  });

  it('name after layers: by the weights, and by what tracing was told', () => {
    const graph = trace(
      ({ x, ...weights }) => {
        const dense = (value: tf.Tensor, name: string) => tf.relu(tf.matMul(value as tf.Tensor2D, weights[name] as tf.Tensor2D));
        const block = nameTensor(dense(x as tf.Tensor, 'stage1.fc.weight'), 'stage1');
        return { y: tf.softmax(dense(block, 'dense/kernel') as tf.Tensor2D) };
      },
      {
        inputs: { x: float(2, 3) },
        constants: { 'stage1.fc.weight': numbers([3, 3], (i) => i), 'dense/kernel': numbers([3, 2], (i) => i) },
      },
    );
    expect(after('name after layers', graph).slice(3, -1)).toEqual([
      'stage1.fc: float32[2, 3] = Gemm(x, stage1.fc.weight, transA=0, transB=0)',
      'stage1: float32[2, 3] = Relu(stage1.fc)',
      'dense: float32[2, 2] = Gemm(stage1, dense/kernel, transA=0, transB=0)',
      'dense/Relu: float32[2, 2] = Relu(dense)',
      'y: float32[2, 2] = Softmax(dense/Relu, axis=1)',
    ]);
  });
});

describe('the runner refuses', () => {
  const builder = new GraphBuilder();
  const x = builder.input('x', 'float32', [2]);
  const y = builder.emit('Neg', [x], 'float32', [2]);
  const graph = builder.finish({ y });
  const pass = (run: (g: Graph) => Graph): Pass => ({ name: 'broken', requires: [], ensures: [], run });

  it.each<[string, Pass, string]>([
    [
      'nodes in another order',
      pass((g) => ({ ...g, nodes: [{ ...g.nodes[0], inputs: [y] } as never] })),
      'ensures a well-formed graph: Neg reads a float32 [2] before it is there',
    ],
    [
      'an output that is an input',
      pass((g) => ({ ...g, outputs: { y: x } })),
      'ensures a well-formed graph: output "y" is no computed value',
    ],
    ['another input', pass((g) => ({ ...g, inputs: [x, { ...x, hint: 'z' }] })), 'ensures the same inputs and outputs: other inputs'],
    ['another output', pass((g) => ({ ...g, outputs: { z: y } })), 'ensures the same inputs and outputs: other outputs'],
    [
      'a constant that does not fill its shape',
      pass((g) => ({
        ...g,
        constants: new Map([
          [
            { ...x, hint: 'w' },
            { ...zerosArray('float32', [1]), shape: [2] },
          ],
        ]),
      })),
      'ensures a well-formed graph: constant w holds 1 numbers of float32 [2]',
    ],
    [
      'what a pass requires',
      { ...pass((g) => g), requires: [{ name: 'no Neg', problem: (g) => g.nodes.find(({ op }) => op === 'Neg')?.op }] },
      'requires no Neg: Neg',
    ],
    ['what a pass ensures', { ...pass((g) => g), ensures: [{ name: 'a miracle', problem: () => 'none' }] }, 'ensures a miracle: none'],
  ])('%s', (_, broken, text) => {
    expect(() => runPasses(graph, [broken])).toThrow(`pass "broken": ${text}`);
  });
});
