/**
 * ONNX Runtime 1.30 makes zeros that a node puts around an image the padding of the max pool that reads them, where padding counts as −∞. A column more, which is cut
 * off again, keeps the two apart. It looks at the graph as its own passes leave it, so what moves data alone is looked through here.
 *
 * For the graph that is encoded, after every pass that could bring the two together. Ensures: no max pool reads what is padded and moved alone.
 */
import { ndArray } from '@coda-nets/core';
import type { Dim, Graph, Node, Value } from '../graph.ts';
import { rewrite, type Rewriting } from './rewrite.ts';

const movesData = new Set(['Transpose', 'Reshape', 'Identity', 'Squeeze', 'Unsqueeze', 'Flatten']);

export function keepPadsApart(graph: Graph): Graph {
  if (!graph.nodes.some(({ op }) => op === 'Pad') || !graph.nodes.some(({ op }) => op === 'MaxPool')) return graph;
  return rewrite(graph, (node, rewriting) => {
    const [x] = node.inputs;
    return rewriting.emit(node.op === 'MaxPool' && isPadded(x, rewriting) ? { ...node, inputs: [apart(x as Value, rewriting)] } : node);
  });
}

function isPadded(x: Value | undefined, rewriting: Rewriting): boolean {
  let origin: Node | undefined = rewriting.originOf(x);
  while (origin !== undefined && movesData.has(origin.op)) origin = rewriting.originOf(origin.inputs[0]);
  return origin?.op === 'Pad';
}

function apart(x: Value, rewriting: Rewriting): Value {
  const rank = x.shape.length;
  const int64 = (values: readonly number[]): Value =>
    rewriting.constant(ndArray('int64', [values.length], BigInt64Array.from(values, BigInt)));
  const emit = (op: string, inputs: readonly Value[], shape: readonly Dim[], attributes: Node['attributes'] = {}): Value =>
    rewriting.emit({ op, inputs, output: { dtype: x.dtype, shape }, attributes });
  const wide = [...x.shape.slice(0, -1), one(x.shape.at(-1) as Dim)];
  const more = emit('Pad', [x, int64([...Array<number>(2 * rank - 1).fill(0), 1])], wide);
  return emit('Slice', [more, int64([0]), int64([-1]), int64([rank - 1])], x.shape);
}

/** A size and one more. */
const one = (size: Dim): Dim => (typeof size === 'number' ? size + 1 : `${size}+1`);
