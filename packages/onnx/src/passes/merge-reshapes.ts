/**
 * A reshape of a reshape is one, and a reshape to the shape there is already is none. Values with names (`nameTensor`) stay.
 * Ensures: no reshape reads a nameless reshape, and no nameless one keeps its shape.
 */
import { sameShape, type NdArray } from '@coda-nets/core';
import type { Graph, Node, Value } from '../graph.ts';
import type { Pass } from './pass.ts';
import { rewrite } from './rewrite.ts';

export const mergeReshapes: Pass = {
  name: 'merge reshapes',
  requires: [],
  ensures: [
    {
      name: 'no reshape of a reshape, and none without effect',
      problem: (graph) => {
        const origin = new Map<Value, Node>(graph.nodes.map((node) => [node.output, node]));
        const outputs = new Set(Object.values(graph.outputs));
        const left = graph.nodes.find((node) => {
          const [source] = node.inputs;
          if (source === undefined || !mergeable(graph, node)) return false;
          return isNamelessReshape(origin.get(source)) || (keepsShape(node) && !outputs.has(node.output));
        });
        return left && `${left.op} to [${left.output.shape.join(', ')}]`;
      },
    },
  ],
  run: (graph) =>
    rewrite(graph, (node, rewriting) => {
      if (!mergeable(rewriting, node)) return rewriting.emit(node);
      let source = node.inputs[0] as Value;
      for (let before = rewriting.originOf(source); isNamelessReshape(before); before = rewriting.originOf(source)) {
        source = before.inputs[0] as Value;
      }
      const merged = { ...node, inputs: [source, node.inputs[1]] };
      return keepsShape(merged) ? source : rewriting.emit(merged);
    }),
};

const isNamelessReshape = (node: Node | undefined): node is Node => node?.op === 'Reshape' && node.output.hint === undefined;

const keepsShape = ({ inputs: [source], output }: Node): boolean =>
  source !== undefined && output.hint === undefined && sameShape(source.shape as number[], output.shape as number[]);

/** A 0 among the sizes means the size there is already: of which shape, a merge would change. */
function mergeable({ constants }: { readonly constants: Graph['constants'] }, { op, inputs: [, shape] }: Node): boolean {
  const sizes: NdArray | undefined = op === 'Reshape' && shape !== undefined ? constants.get(shape) : undefined;
  return sizes !== undefined && !(sizes.data as BigInt64Array).includes(0n);
}
