/**
 * Computes nodes that read constants alone. `foldConstants` bit for bit what a runtime computes (`evaluate.ts`), so a NaN stays one; `foldConstantSums`
 * sums and products of matrices too (`evaluate-sums.ts`). What reads an input is never folded: x · 0 is NaN where x is NaN or infinite, and stays a product.
 *
 * Ensures: no node of constants is left that can be computed and is not larger than what it is computed of.
 */
import { sizeOf, type NdArray } from '@coda-nets/core';
import type { Graph, Node } from '../graph.ts';
import { evaluate } from './evaluate.ts';
import { evaluateSum } from './evaluate-sums.ts';
import type { Pass } from './pass.ts';
import { rewrite } from './rewrite.ts';

/** A result of more elements than this, and more than it is computed of, stays a node: files are not to grow. */
const FREE_ELEMENTS = 1024;

type Evaluate = (node: Node, inputs: readonly (NdArray | undefined)[]) => NdArray | undefined;

export const foldConstants = folding('fold constants', evaluate);
export const foldConstantSums = folding('fold constant sums', (node, inputs) => evaluate(node, inputs) ?? evaluateSum(node, inputs));

function folding(name: string, compute: Evaluate): Pass {
  return {
    name,
    requires: [],
    ensures: [
      {
        name: 'no foldable node',
        problem: (graph) => graph.nodes.find((node) => !isOutput(graph, node) && folded(graph.constants, node, compute) !== undefined)?.op,
      },
    ],
    run: (graph) =>
      rewrite(graph, (node, rewriting) => {
        const array = isOutput(graph, node) ? undefined : folded(rewriting.constants, node, compute);
        if (array === undefined) return rewriting.emit(node);
        return rewriting.constant(array, nameOf(node));
      }),
  };
}

/** An output is computed: that is what makes it an output. */
const isOutput = (graph: Graph, { output }: Node): boolean => Object.values(graph.outputs).includes(output);

function folded(constants: Graph['constants'], node: Node, compute: Evaluate): NdArray | undefined {
  if (node.inputs.length === 0) return undefined;
  const arrays = node.inputs.map((value) => (value === undefined ? undefined : constants.get(value)));
  if (arrays.some((array, i) => array === undefined && node.inputs[i] !== undefined)) return undefined;
  const size = node.output.shape.reduce((product: number, d) => product * Number(d), 1);
  const of = arrays.reduce((sum, array) => sum + (array === undefined ? 0 : sizeOf(array.shape)), 0);
  return size <= Math.max(of, FREE_ELEMENTS) ? compute(node, arrays) : undefined;
}

/** A weight in another layout is that weight still. */
function nameOf({ op, inputs: [first] }: Node): string | undefined {
  return op === 'Transpose' || op === 'Reshape' || op === 'Slice' ? first?.hint : undefined;
}
