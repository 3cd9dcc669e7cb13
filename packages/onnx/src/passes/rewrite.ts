/** Rewrites a graph node by node, from the inputs to the outputs: what all passes but dead code have in common. */
import type { NdArray } from '@coda-nets/core';
import type { Graph, Node, Value } from '../graph.ts';

export class Rewriting {
  readonly nodes: Node[] = [];
  readonly constants: Map<Value, NdArray>;
  readonly #origin = new Map<Value, Node>();
  readonly #instead = new Map<Value, Value>();

  constructor(graph: Graph) {
    this.constants = new Map(graph.constants);
  }

  /** The node of the new graph that gives `value`. */
  originOf(value: Value | undefined): Node | undefined {
    return value === undefined ? undefined : this.#origin.get(value);
  }

  arrayOf(value: Value | undefined): NdArray | undefined {
    return value === undefined ? undefined : this.constants.get(value);
  }

  emit(node: Node): Value {
    this.nodes.push(node);
    this.#origin.set(node.output, node);
    return node.output;
  }

  constant(array: NdArray, hint?: string): Value {
    const value: Value = { dtype: array.dtype, shape: array.shape, hint };
    this.constants.set(value, array);
    return value;
  }

  /** The node with the values that now stand for what it read. */
  current(node: Node): Node {
    const inputs = node.inputs.map((value) => (value === undefined ? value : this.now(value)));
    return inputs.every((value, i) => value === node.inputs[i]) ? node : { ...node, inputs };
  }

  /** From here on `value` is read wherever `old` was. */
  replace(old: Value, value: Value): void {
    if (old !== value) this.#instead.set(old, value);
  }

  now(value: Value): Value {
    return this.#instead.get(value) ?? value;
  }
}

/**
 * `step` gets each node, reading the values of the new graph, and returns the value that stands for its output: `rewriting.emit(node)` keeps it. An output
 * that became an input, a constant or another output gets a copy of its own.
 */
export function rewrite(graph: Graph, step: (node: Node, rewriting: Rewriting) => Value): Graph {
  const rewriting = new Rewriting(graph);
  for (const node of graph.nodes) rewriting.replace(node.output, step(rewriting.current(node), rewriting));
  const given = new Set<Value>();
  const outputs = Object.entries(graph.outputs).map(([name, before]): [string, Value] => {
    const value = rewriting.now(before);
    if (rewriting.originOf(value) !== undefined && !given.has(value)) {
      given.add(value);
      return [name, value];
    }
    const copy: Value = { dtype: value.dtype, shape: value.shape };
    return [name, rewriting.emit({ op: 'Identity', inputs: [value], output: copy, attributes: {} })];
  });
  return { inputs: graph.inputs, outputs: Object.fromEntries(outputs), constants: rewriting.constants, nodes: rewriting.nodes };
}

/** How often a value is read: by nodes, and by being an output. */
export function countReaders({ nodes, outputs }: Graph): ReadonlyMap<Value, number> {
  const counts = new Map<Value, number>();
  const count = (value: Value): void => void counts.set(value, (counts.get(value) ?? 0) + 1);
  for (const { inputs } of nodes) for (const value of inputs) if (value !== undefined) count(value);
  for (const value of Object.values(outputs)) count(value);
  return counts;
}
