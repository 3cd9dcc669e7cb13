/**
 * Removes nodes and constants that no output needs.
 * Requires: nodes in topological order. Ensures: the same, and every node and constant reaches an output. Inputs stay: they are the caller's contract.
 */
import type { Graph, Value } from '../graph.ts';

export function eliminateDeadCode(graph: Graph): Graph {
  const needed = new Set<Value>(Object.values(graph.outputs));
  const nodes = graph.nodes.toReversed().filter((node) => {
    if (!needed.has(node.output)) return false;
    for (const input of node.inputs) if (input !== undefined) needed.add(input);
    return true;
  });
  const constants = new Map([...graph.constants].filter(([value]) => needed.has(value)));
  return { ...graph, constants, nodes: nodes.toReversed() };
}
