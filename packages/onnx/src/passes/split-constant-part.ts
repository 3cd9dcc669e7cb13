/**
 * Takes what depends on large constants alone out of a graph, so that it is computed once and the constants need not be copied into the runtime: they, and
 * what is computed of them, become inputs. What a convolution reads stays: runtimes prepare a filter that they know. A constant in another shape is the
 * same memory, no computation.
 *
 * Requires: nodes in topological order. Ensures: `main` on the results of `prologue` and the constants of `shared` gives what `graph` gives.
 */
import { sizeOf, type NdArray } from '@coda-nets/core';
import type { Graph, Node, Value } from '../graph.ts';
import { eliminateDeadCode } from './eliminate-dead-code.ts';

/** Smaller ones are shapes, axes and factors, which runtimes want to see. */
const LARGE_ELEMENTS = 4096;
const wantsKnownOperands = new Set(['Conv', 'ConvTranspose']);

export interface SplitGraph {
  /** What it reads are the constants of `shared`, what it gives are inputs of `main` by the same name; undefined where nothing is to be computed. */
  readonly prologue: Graph | undefined;
  readonly main: Graph;
  /** The constants that are inputs now, by name. */
  readonly shared: Readonly<Record<string, NdArray>>;
}

export function splitConstantPart(original: Graph): SplitGraph {
  const graph = withReshapedConstants(original);
  const large = new Set([...graph.constants].flatMap(([value, { shape }]) => (sizeOf(shape) >= LARGE_ELEMENTS ? [value] : [])));
  const constant = new Set<Value>(graph.constants.keys());
  // of the nodes that read constants alone, those that lead back to a large one
  const early = new Set<Node>();
  const lifted = new Set<Value>(large);
  for (const node of graph.nodes) {
    const inputs = node.inputs.filter((value) => value !== undefined);
    if (inputs.length === 0 || !inputs.every((value) => constant.has(value))) continue;
    constant.add(node.output);
    if (!inputs.some((value) => lifted.has(value))) continue;
    early.add(node);
    lifted.add(node.output);
  }
  for (const node of graph.nodes.toReversed()) {
    const stays = wantsKnownOperands.has(node.op) || (early.has(node) && !lifted.has(node.output));
    if (stays) for (const value of node.inputs) if (value !== undefined) lifted.delete(value);
  }
  const outputs = new Set(Object.values(graph.outputs));
  const late = graph.nodes.filter((node) => !lifted.has(node.output) || outputs.has(node.output));
  const boundary = new Set(late.flatMap(({ inputs }) => inputs.filter((value) => value !== undefined && lifted.has(value)) as Value[]));

  const names = new Map<Value, string>();
  for (const value of lifted) if (large.has(value)) names.set(value, value.hint ?? `constant/${names.size}`);
  for (const value of boundary) if (!names.has(value)) names.set(value, `prepared/${names.size}`);
  const input = (value: Value): Value => ({ ...value, hint: names.get(value) as string });
  const asInput = new Map([...names.keys()].map((value) => [value, input(value)] as const));
  const renamed = (node: Node): Node => ({
    ...node,
    inputs: node.inputs.map((value) => (value === undefined ? value : (asInput.get(value) ?? value))),
  });
  const keptConstants = new Map([...graph.constants].filter(([value]) => !asInput.has(value)));

  const main = eliminateDeadCode({
    inputs: [...graph.inputs, ...[...boundary].map((value) => asInput.get(value) as Value)],
    outputs: graph.outputs,
    constants: keptConstants,
    nodes: late.map(renamed),
  });
  const computed = [...boundary].filter((value) => !large.has(value));
  const prologue =
    computed.length === 0
      ? undefined
      : eliminateDeadCode({
          inputs: [...asInput].flatMap(([value, as]) => (large.has(value) ? [as] : [])),
          outputs: Object.fromEntries(computed.map((value) => [names.get(value) as string, value])),
          constants: keptConstants,
          // what small constants alone give may be read here too; a result keeps its own value, where it is no input
          nodes: graph.nodes
            .filter(({ output }) => constant.has(output))
            .map((node) => ({
              ...node,
              inputs: node.inputs.map((value) => (value !== undefined && large.has(value) ? (asInput.get(value) ?? value) : value)),
            })),
        });
  const shared = [...asInput.keys()].filter((value) => large.has(value));
  return {
    prologue,
    main,
    shared: Object.fromEntries(shared.map((value) => [names.get(value) as string, graph.constants.get(value) as NdArray])),
  };
}

/** The graph without the Reshape nodes of large constants: their results are constants that share the memory. */
function withReshapedConstants(graph: Graph): Graph {
  const constants = new Map(graph.constants);
  const nodes = graph.nodes.filter(({ op, inputs: [source], output }) => {
    const array = op === 'Reshape' && source !== undefined ? constants.get(source) : undefined;
    const isOutput = Object.values(graph.outputs).includes(output);
    if (array === undefined || isOutput || sizeOf(array.shape) < LARGE_ELEMENTS || !output.shape.every((d) => typeof d === 'number'))
      return true;
    constants.set(output, { ...array, shape: output.shape as readonly number[] });
    return false;
  });
  return { ...graph, constants, nodes };
}
