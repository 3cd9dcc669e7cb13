/**
 * A sum of any number of terms becomes a tree of additions of two: ONNX Runtime's WebGPU provider has no kernel for `Sum`, and would fetch every term to the
 * CPU and send the result back. In a tree the rounding error grows with the logarithm of the number of terms.
 * Ensures: no `Sum`.
 */
import type { Value } from '../graph.ts';
import type { Pass } from './pass.ts';
import { rewrite } from './rewrite.ts';

export const addInPairs: Pass = {
  name: 'add in pairs',
  requires: [],
  ensures: [{ name: 'no Sum', problem: ({ nodes }) => nodes.find(({ op }) => op === 'Sum')?.op }],
  run: (graph) =>
    rewrite(graph, (node, rewriting) => {
      if (node.op !== 'Sum') return rewriting.emit(node);
      let terms = node.inputs as readonly Value[];
      if (terms.length === 1) return rewriting.emit({ ...node, op: 'Identity' });
      while (terms.length > 2) {
        terms = Array.from({ length: Math.ceil(terms.length / 2) }, (_, i) => {
          const pair = terms.slice(2 * i, 2 * i + 2);
          const [first, second] = pair as [Value, Value];
          if (pair.length === 1) return first;
          return rewriting.emit({
            op: 'Add',
            inputs: pair,
            output: { dtype: first.dtype, shape: broadcast(first, second) },
            attributes: {},
          });
        });
      }
      return rewriting.emit({ ...node, op: 'Add', inputs: terms });
    }),
};

/** Of two values that fit each other. */
function broadcast({ shape: a }: Value, { shape: b }: Value): Value['shape'] {
  const [long, short] = a.length >= b.length ? [a, b] : [b, a];
  const missing = long.length - short.length;
  return long.map((d, i) => (d === 1 && i >= missing ? (short[i - missing] as number | string) : d));
}
