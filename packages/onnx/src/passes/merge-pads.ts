/**
 * Zeros that a node puts around the sides of images become the padding of the convolution that reads them.
 * Ensures: no convolution that counts its padding reads zero padding of its spatial axes alone.
 */
import type { Graph, Node, Value } from '../graph.ts';
import type { Pass } from './pass.ts';
import { rewrite } from './rewrite.ts';

export const mergePads: Pass = {
  name: 'merge pads',
  requires: [],
  ensures: [
    {
      name: 'no pad before a convolution',
      problem: (graph) => {
        const origin = new Map<Value, Node>(graph.nodes.map((node) => [node.output, node]));
        return graph.nodes.find((node) => paddingOf(node) && spatialPads(graph.constants, origin.get(node.inputs[0] as Value)))?.op;
      },
    },
  ],
  run: (graph) =>
    rewrite(graph, (node, rewriting) => {
      let [source] = node.inputs;
      let pads = paddingOf(node);
      if (pads === undefined) return rewriting.emit(node);
      for (;;) {
        const pad = rewriting.originOf(source);
        const more = spatialPads(rewriting.constants, pad);
        if (more === undefined) break;
        pads = pads.map((count, i) => count + (more[i] as number));
        source = pad?.inputs[0];
      }
      if (source === node.inputs[0]) return rewriting.emit(node);
      return rewriting.emit({
        ...node,
        inputs: [source, ...node.inputs.slice(1)],
        attributes: { ...node.attributes, pads: { ints: pads } },
      });
    }),
};

/** The counts of a convolution's own padding; undefined for other nodes, and where it is left to the runtime (`auto_pad`). */
function paddingOf({ op, attributes: { pads } }: Node): readonly number[] | undefined {
  return op === 'Conv' && pads !== undefined && 'ints' in pads ? pads.ints : undefined;
}

/** As a convolution has them: begin of every spatial axis, end of every spatial axis. */
function spatialPads(constants: Graph['constants'], node: Node | undefined): readonly number[] | undefined {
  if (node?.op !== 'Pad') return undefined;
  const [, counts, fill, axes] = node.inputs;
  const mode = node.attributes['mode'];
  const value = fill === undefined ? 0 : Number(constants.get(fill)?.data[0] ?? Number.NaN);
  const pads = counts === undefined ? undefined : constants.get(counts);
  if (
    pads === undefined ||
    value !== 0 ||
    axes !== undefined ||
    (mode !== undefined && !('string' in mode && mode.string === 'constant'))
  ) {
    return undefined;
  }
  const all = Array.from(pads.data as BigInt64Array, Number);
  const rank = all.length / 2;
  const outer = [0, 1, rank, rank + 1];
  return outer.every((i) => all[i] === 0) && all.every((n) => n >= 0) ? all.filter((_, i) => !outer.includes(i)) : undefined;
}
