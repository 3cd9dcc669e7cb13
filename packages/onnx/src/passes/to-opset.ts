/**
 * Graphs are made of the operators of opset 17. What changed since, of those that tracing emits: at 18 the reductions take their axes as an input, as
 * ReduceSum does since 13. Resize (18, 19), Pad (18, 19), ScatterElements (18), AveragePool (19), ReduceMax and ReduceMin (20), Cast, Reshape, Shape, Transpose
 * and others (19, 21) got attributes, inputs and types whose defaults are what was meant before.
 *
 * Requires: operators of opset 17. Ensures: those of `opset`.
 */
import { CodaError, ndArray, type NdArray } from '@coda-nets/core';
import type { Graph, Value } from '../graph.ts';

/** By opset, the version of the file format of the ONNX release that brought it: 1.12, 1.13, 1.14, 1.15, 1.16. */
const irVersions: Readonly<Record<number, number>> = { 17: 8, 18: 8, 19: 9, 20: 9, 21: 10 };
export const opsets: readonly number[] = Object.keys(irVersions).map(Number);
export const DEFAULT_OPSET = 17;

const axesBecomeInput = new Set(['ReduceMax', 'ReduceMean', 'ReduceMin', 'ReduceProd']);

export function irVersionOf(opset: number): number {
  const version = irVersions[opset];
  if (version !== undefined) return version;
  throw new CodaError({
    kind: 'argument',
    where: 'encodeModel: opset',
    problem: 'not written here',
    expected: `${opsets[0]} to ${opsets.at(-1)}`,
    got: String(opset),
  });
}

export function toOpset(graph: Graph, opset: number): Graph {
  if (opset < 18) return graph;
  const constants = new Map<Value, NdArray>(graph.constants);
  const known = new Map<string, Value>();
  const nodes = graph.nodes.map((node) => {
    const { axes, ...attributes } = node.attributes;
    if (!axesBecomeInput.has(node.op) || axes === undefined || !('ints' in axes)) return node;
    const key = axes.ints.join();
    let value = known.get(key);
    if (value === undefined) {
      value = { dtype: 'int64', shape: [axes.ints.length] };
      known.set(key, value);
      constants.set(
        value,
        ndArray(
          'int64',
          [axes.ints.length],
          BigInt64Array.from(axes.ints, (axis) => BigInt(axis)),
        ),
      );
    }
    return { ...node, inputs: [...node.inputs, value], attributes };
  });
  return { ...graph, constants, nodes };
}
