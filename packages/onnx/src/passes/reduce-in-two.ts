/**
 * Sums and means over the images and the positions of channels, [N, C, H, W] → [C], become a sum over the positions and one over the images. A GPU gives one work
 * group to each result: C of them leave it idle, N·C do not; and where the reduced axes are not the last ones, its kernels move the whole array first.
 * Ensures: no sum or mean over the first axis and the last ones together, of values that are large enough to matter.
 */
import { ndArray, sizeOf } from '@coda-nets/core';
import type { Graph, Node, Value } from '../graph.ts';
import type { Pass } from './pass.ts';
import { rewrite, type Rewriting } from './rewrite.ts';

/** Below this many elements a launch costs more than it brings. */
const FEWEST_ELEMENTS = 2 ** 14;

export const reduceInTwo: Pass = {
  name: 'reduce in two',
  requires: [],
  ensures: [
    {
      name: 'no reduction over first and last axes',
      problem: (graph) => {
        const left = graph.nodes.find((node) => lastAxes(node, graph.constants) !== undefined);
        return left && `${left.op} of [${left.inputs[0]?.shape.join(', ')}]`;
      },
    },
  ],
  run: (graph) =>
    rewrite(graph, (node, rewriting) => {
      const axes = lastAxes(node, rewriting.constants);
      if (axes === undefined) return rewriting.emit(node);
      const [source] = node.inputs as [Value];
      const keep = (node.attributes['keepdims'] as { int: number }).int === 1;
      const shape = keep ? source.shape.map((d, i) => (axes.includes(i) ? 1 : d)) : source.shape.slice(0, axes[0]);
      const inner = rewriting.emit(reduction(node, source, axes, { dtype: node.output.dtype, shape }, rewriting));
      return rewriting.emit(reduction(node, inner, [0], node.output, rewriting));
    }),
};

function reduction({ op, attributes }: Node, source: Value, axes: readonly number[], output: Value, rewriting: Rewriting): Node {
  if (op !== 'ReduceSum') return { op, inputs: [source], output, attributes: { ...attributes, axes: { ints: axes } } };
  const positions = rewriting.constant(
    ndArray(
      'int64',
      [axes.length],
      BigInt64Array.from(axes, (axis) => BigInt(axis)),
    ),
  );
  return { op, inputs: [source, positions], output, attributes };
}

/** The last axes of a reduction over these and the first; undefined of every other node. */
function lastAxes({ op, inputs, attributes }: Node, constants: Graph['constants']): readonly number[] | undefined {
  const [source, positions] = inputs;
  if (source === undefined || !(op === 'ReduceSum' || op === 'ReduceMean')) return undefined;
  const shape = source.shape;
  if (!shape.every((d) => typeof d === 'number') || sizeOf(shape) < FEWEST_ELEMENTS) return undefined;
  if (attributes['keepdims'] === undefined) return undefined;
  const given = attributes['axes'];
  const listed = positions === undefined ? undefined : constants.get(positions);
  const axes =
    given !== undefined && 'ints' in given ? given.ints : listed === undefined ? [] : Array.from(listed.data as BigInt64Array, Number);
  const sorted = axes.map((axis) => (axis < 0 ? axis + shape.length : axis)).toSorted((a, b) => a - b);
  const last = sorted.slice(1);
  const areLast = last.length > 0 && last.every((axis, i) => axis === shape.length - last.length + i);
  return sorted[0] === 0 && areLast && sorted.length < shape.length ? last : undefined;
}
