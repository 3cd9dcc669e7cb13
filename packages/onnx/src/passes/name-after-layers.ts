/**
 * Names values after the model's own layers: what reads the weight `layer1.0.conv1.weight` (or `conv1/kernel`) is called `layer1.0.conv1`, and what is
 * computed of it without weights of its own `layer1.0.conv1/Relu`. Names that tracing gave (`nameTensor`: taps) stay, and nothing else gets them. Wishes: the giver of names
 * (`give-names.ts`) numbers those that are wished for twice.
 *
 * Ensures: every node whose operand has a weight with a layer in its name has a name.
 */
import type { Graph, Node, Value } from '../graph.ts';
import type { Pass } from './pass.ts';
import { rewrite } from './rewrite.ts';

export const nameAfterLayers: Pass = {
  name: 'name after layers',
  requires: [],
  ensures: [
    {
      name: 'a name for what reads a weight',
      problem: (graph) => graph.nodes.find((node) => node.output.hint === undefined && layerOf(node, graph.constants) !== undefined)?.op,
    },
  ],
  run: (graph) => {
    const layers = new Map<Value, string>();
    const given = new Set(graph.nodes.map(({ output }) => output.hint));
    return rewrite(graph, (node, rewriting) => {
      const own = layerOf(node, graph.constants);
      const inherited = node.inputs
        .map((value) => (value === undefined ? undefined : layers.get(value)))
        .find((name) => name !== undefined);
      const layer = node.output.hint ?? own ?? inherited;
      if (layer === undefined) return rewriting.emit(node);
      const free = own !== undefined && !given.has(own);
      const hint = node.output.hint ?? (free ? own : `${layer}/${node.op}`);
      const output: Value = { ...node.output, hint };
      layers.set(output, layer);
      return rewriting.emit({ ...node, output });
    });
  },
};

function layerOf({ inputs }: Node, constants: Graph['constants']): string | undefined {
  const name = inputs.find((value) => value?.hint !== undefined && constants.has(value))?.hint;
  const end = name === undefined ? -1 : Math.max(name.lastIndexOf('.'), name.lastIndexOf('/'));
  return end > 0 ? name?.slice(0, end) : undefined;
}
