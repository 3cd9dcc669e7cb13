/**
 * Makes one graph for any size out of traces with different ones: what is equal in all is fixed, what is a product or a sum of open sizes is computed when the
 * graph runs, and anything else shows that the function computes with a size as a number.
 */
import { CodaError, ndArray, type NdArray } from '@coda-nets/core';
import { generalisePadding, type AnyPadding } from './generalise-padding.ts';
import { attributeKey } from './graph-builder.ts';
import type { Graph, Node, Value } from './graph.ts';
import { isFixed, isSame, OpenDims, type Additions, type Series } from './open-dims.ts';
import { padToSame } from './pad-to-same.ts';
import type { Sizes } from './trace-sizes.ts';

/** As far as a slice can reach; ONNX clips it to the end of the axis. */
const END = 2n ** 62n;

/** Operands that are sizes or positions, by operator. */
const sizeOperands: Readonly<Record<string, readonly number[]>> = {
  Expand: [1],
  Reshape: [1],
  Resize: [3],
  Slice: [1, 2],
  Tile: [1],
};

export interface Traced {
  readonly graph: Graph;
  readonly sizes: Sizes;
}

export function generaliseSizes(traces: readonly Traced[]): Graph {
  const graphs = traces.map(({ graph }) => graph);
  const first = graphs[0] as Graph;
  const merged = new Map<Value, Value>();
  const constants = new Map<Value, NdArray>();
  const shared = new Map<Value, Value>();
  const added: Additions = { nodes: [], constants };
  const dims = new OpenDims(
    traces.map(({ sizes }) => sizes),
    added,
  );

  const one = (values: readonly Value[], where: string): Value => {
    const [a] = values as [Value];
    const known = merged.get(a);
    if (known !== undefined) return known;
    if (values.some(({ shape }) => shape.length !== a.shape.length)) throw refusal(where, 'a rank that changes with a size');
    const shape = seriesOf(values);
    const value: Value = { dtype: a.dtype, shape: shape.map((series) => dims.name(series)), hint: a.hint };
    merged.set(a, value);
    dims.learn(value, shape);
    return value;
  };
  const constant = (values: readonly Value[], nodes: readonly Node[], position: number): Value => {
    const [a] = values as [Value];
    const arrays = values.map((value, i) => graphs[i]?.constants.get(value) as NdArray);
    const [left] = arrays as [NdArray];
    if (arrays.every((array) => sameNumbers(array, left))) {
      const known = shared.get(a) ?? { ...a };
      shared.set(a, known);
      constants.set(known, left);
      return known;
    }
    const { op, inputs: operands } = nodes[0] as Node;
    if (sizeOperands[op]?.includes(position) !== true || arrays.some(({ shape }) => shape.join() !== left.shape.join())) {
      throw refusal(op, 'a size used as a number', 'Sum instead of averaging, or fix the size.');
    }
    const wanted = [...left.data].map((_, i): Series => arrays.map(({ data }) => Number(data[i])));
    const axes = operands[3] === undefined ? undefined : first.constants.get(operands[3]);
    const short = shortSizes(wanted, nodes, position, axes);
    if (short !== undefined) {
      const result: Value = { dtype: 'int64', shape: left.shape };
      constants.set(result, ndArray('int64', left.shape, short));
      return result;
    }
    const computed = dims.values(wanted);
    if (computed === undefined) throw refusal(op, 'a size that cannot be told from those of the inputs');
    return computed;
  };

  const inputs = first.inputs.map((a, i) =>
    one(
      graphs.map((graph) => graph.inputs[i] as Value),
      `input "${a.hint}"`,
    ),
  );
  if (graphs.some(({ nodes }) => nodes.length !== first.nodes.length)) throw refusal('trace', 'other operations at another size');
  const nodes = first.nodes.flatMap((node, i): Node[] => {
    const all = graphs.map((graph) => graph.nodes[i] as Node);
    const asked = paddingOf(all);
    if (asked === undefined) throw refusal(node.op, 'other operations at another size');
    const operands = node.inputs.map((a, position) => {
      const values = all.map((other) => other.inputs[position]);
      if (a === undefined || !values.every((value) => value !== undefined)) return undefined;
      const known = values.filter((value, k) => graphs[k]?.constants.has(value)).length;
      if (known > 0 && known < values.length) throw refusal(node.op, 'a constant that depends on a size');
      return known > 0 ? constant(values, all, position) : one(values, node.op);
    });
    const output = one(
      all.map((other) => other.output),
      node.op,
    );
    const general: Node = { ...node, attributes: asked.attributes, inputs: operands, output };
    if (asked.inFront === undefined) return [...added.nodes.splice(0), general];
    const padded = paddedSizes(all).map((series) => dims.name(series));
    const instead = padToSame(general, asked.inFront, padded, added);
    return [...added.nodes.splice(0), ...instead];
  });
  const outputs = Object.fromEntries(Object.entries(first.outputs).map(([name, a]) => [name, merged.get(a) as Value]));
  return { inputs, outputs, constants, nodes };
}

/** Of each axis what it is in every trace. */
const seriesOf = (values: readonly (Value | undefined)[]): readonly Series[] =>
  (values[0]?.shape ?? []).map((_, axis) => values.map((value) => Number(value?.shape[axis])));

/** The attributes that the nodes share, or what stands for them where they differ in their padding. */
function paddingOf(nodes: readonly Node[]): AnyPadding | undefined {
  const [{ op, attributes, padding }] = nodes as [Node];
  if (nodes.some((node) => node.op !== op)) return undefined;
  // what three sizes have in common may still depend on the size
  const space = seriesOf(nodes.map(({ inputs }) => inputs[0])).slice(2);
  if (padding !== undefined && !space.every(isFixed)) return generalisePadding(nodes);
  const text = attributeKey(attributes);
  return nodes.every((node) => attributeKey(node.attributes) === text) ? { attributes } : undefined;
}

/** Of each axis of space how large it is with its padding, in every trace. */
const paddedSizes = (nodes: readonly Node[]): readonly Series[] => {
  const [{ inputs }] = nodes as [Node];
  const rank = (inputs[0]?.shape.length ?? 2) - 2;
  return Array.from({ length: rank }, (_, i) =>
    nodes.map(({ inputs: [x], attributes: { pads } }) => {
      const sides = pads !== undefined && 'ints' in pads ? pads.ints : [];
      return Number(x?.shape[2 + i]) + (sides[i] ?? 0) + (sides[rank + i] ?? 0);
    }),
  );
};

function sameNumbers(a: NdArray, b: NdArray): boolean {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  if (a.data === b.data) return true;
  for (let i = 0; i < a.data.length; i++) if (!Object.is(a.data[i], b.data[i])) return false;
  return true;
}

/**
 * Sizes without computing them: the sizes of a reshape that stay (0) and the one that is left over (−1), and the end of a slice that reaches the end of the
 * axis at any size.
 */
function shortSizes(
  wanted: readonly Series[],
  nodes: readonly Node[],
  position: number,
  axes: NdArray | undefined,
): BigInt64Array<ArrayBuffer> | undefined {
  const { op } = nodes[0] as Node;
  const changed = wanted.flatMap((series, i) => (isFixed(series) ? [] : [i]));
  const numbers = BigInt64Array.from(wanted, ([a]) => BigInt(a as number));
  const shape = seriesOf(nodes.map(({ inputs }) => inputs[0]));
  const isAxis = (i: number, axis: number): boolean => isSame(wanted[i] as Series, shape[axis] ?? []);
  if (op === 'Slice' && position === 2) {
    if (!changed.every((i) => isAxis(i, axes === undefined ? i : Number(axes.data[i])))) return undefined;
    for (const i of changed) numbers[i] = END;
    return numbers;
  }
  if (op !== 'Reshape') return undefined;
  const left = changed.length === 1 ? changed : changed.filter((i) => !isAxis(i, i));
  if (left.length > 1) return undefined;
  for (const i of changed) numbers[i] = left.includes(i) ? -1n : 0n;
  return numbers;
}

function refusal(where: string, problem: string, hint?: string): CodaError {
  return new CodaError({ kind: 'unsupported', where: `trace: ${where}`, problem: `${problem} does not make a graph for any size`, hint });
}
