/**
 * Makes one graph for any batch size out of two traces with different sizes: what is equal in both is fixed, what is a multiple of both sizes
 * is a multiple of the batch, and anything else shows that the function computes with the batch size as a number.
 */
import { CodaError, ndArray, type NdArray } from '@coda-nets/core';
import type { Dim, Graph, Node, Value } from './graph.ts';

/** As far as a slice can reach; ONNX clips it to the end of the axis. */
const END = 2n ** 62n;

export function generaliseBatch(first: Graph, firstSize: number, second: Graph, secondSize: number): Graph {
  const merged = new Map<Value, Value>();
  const constants = new Map<Value, NdArray>();
  const shared = new Map<Value, Value>();

  const dim = (a: Dim, b: Dim, where: string): Dim => {
    if (a === b) return a;
    const times = Number(a) / firstSize;
    if (!Number.isInteger(times) || times !== Number(b) / secondSize) {
      throw refusal(where, `a size that is ${a} at batch ${firstSize} and ${b} at batch ${secondSize}`);
    }
    return times === 1 ? 'batch' : `${times}*batch`;
  };
  const value = (a: Value, b: Value, where: string): Value => {
    if (a.shape.length !== b.shape.length) throw refusal(where, 'a rank that changes with the batch');
    return { dtype: a.dtype, shape: a.shape.map((d, i) => dim(d, b.shape[i] as Dim, where)), hint: a.hint };
  };
  const pair = (a: Value, b: Value, where: string): Value => {
    const known = merged.get(a) ?? value(a, b, where);
    merged.set(a, known);
    return known;
  };
  const added: Node[] = [];
  const constant = (a: Value, b: Value, [node, other]: readonly [Node, Node], position: number): Value => {
    const left = first.constants.get(a) as NdArray;
    const right = second.constants.get(b) as NdArray;
    if (sameNumbers(left, right)) {
      const known = shared.get(a) ?? { ...a };
      shared.set(a, known);
      constants.set(known, left);
      return known;
    }
    if (wantsWholeShape(node.op, position)) return expandShape(left, right, node);
    const axes = node.inputs[3] === undefined ? undefined : first.constants.get(node.inputs[3]);
    const array = dynamicOperand(left, right, { node, other, axes }, position);
    const result: Value = { dtype: array.dtype, shape: array.shape };
    constants.set(result, array);
    return result;
  };

  const emit = (
    op: string,
    operands: readonly Value[],
    dtype: Value['dtype'],
    shape: readonly Dim[],
    attributes: Node['attributes'] = {},
  ): Value => {
    const output: Value = { dtype, shape };
    added.push({ op, inputs: operands, output, attributes });
    return output;
  };
  const int64 = (...values: bigint[]): Value => {
    const result: Value = { dtype: 'int64', shape: [values.length] };
    constants.set(result, ndArray('int64', [values.length], BigInt64Array.from(values)));
    return result;
  };
  /** The shape to expand to, computed from the batch size of an input of the graph when it runs. */
  const expandShape = (a: NdArray, b: NdArray, { op }: Node): Value => {
    const source = inputs.find(({ shape }) => shape.includes('batch')) as Value;
    const axis = BigInt(source.shape.indexOf('batch'));
    const size = emit(
      'Slice',
      [emit('Shape', [source], 'int64', [source.shape.length]), int64(axis), int64(axis + 1n), int64(0n)],
      'int64',
      [1],
    );
    const sizes = [...a.data].map((d, i) => {
      const symbol = dim(Number(d), Number(b.data[i]), op);
      if (typeof symbol === 'number') return int64(BigInt(symbol));
      const times = BigInt(Number.parseInt(symbol, 10) || 1);
      return times === 1n ? size : emit('Mul', [size, int64(times)], 'int64', [1]);
    });
    return emit('Concat', sizes, 'int64', [sizes.length], { axis: { int: 0 } });
  };

  const inputs = first.inputs.map((a, i) => pair(a, second.inputs[i] as Value, `input "${a.hint}"`));
  if (first.nodes.length !== second.nodes.length) throw refusal('trace', 'other operations at another batch size');
  const nodes = first.nodes.flatMap((node, i): Node[] => {
    const other = second.nodes[i] as Node;
    if (node.op !== other.op || JSON.stringify(node.attributes) !== JSON.stringify(other.attributes)) {
      throw refusal(node.op, 'other operations at another batch size');
    }
    const operands = node.inputs.map((a, position) => {
      const b = other.inputs[position];
      if (a === undefined || b === undefined) return undefined;
      if (first.constants.has(a) !== second.constants.has(b)) throw refusal(node.op, 'a constant that depends on the batch size');
      return first.constants.has(a) ? constant(a, b, [node, other], position) : pair(a, b, node.op);
    });
    const before = added.splice(0);
    return [...before, { ...node, inputs: operands, output: pair(node.output, other.output, node.op) }];
  });
  const outputs = Object.fromEntries(Object.entries(first.outputs).map(([name, a]) => [name, merged.get(a) as Value]));
  return { inputs, outputs, constants, nodes };
}

/** Operands that are the shape of the result, whose sizes cannot be left open as those of a reshape can. */
const wantsWholeShape = (op: string, position: number): boolean =>
  (op === 'Expand' && position === 1) || (op === 'Resize' && position === 3);

function sameNumbers(a: NdArray, b: NdArray): boolean {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  if (a.data === b.data) return true;
  for (let i = 0; i < a.data.length; i++) if (!Object.is(a.data[i], b.data[i])) return false;
  return true;
}

/** Where a size may stand for the batch: the one −1 of a reshape, and the end of a slice that reaches the end of the axis with any batch. */
function dynamicOperand(
  a: NdArray,
  b: NdArray,
  { node, other, axes }: { readonly node: Node; readonly other: Node; readonly axes: NdArray | undefined },
  position: number,
): NdArray {
  const reshape = node.op === 'Reshape' && position === 1;
  const sliceEnd = node.op === 'Slice' && position === 2;
  if (!(reshape || sliceEnd) || a.shape.join() !== b.shape.join()) {
    throw refusal(node.op, 'the batch size used as a number', 'Sum over the batch instead of averaging, or fix the batch size.');
  }
  const numbers = [...(a.data as BigInt64Array)];
  const changed = numbers.flatMap((n, i) => (n === b.data[i] ? [] : [i]));
  if (sliceEnd && !changed.every((i) => reachesEnd(node, axes, a, i) && reachesEnd(other, axes, b, i))) {
    throw refusal(node.op, 'a slice that ends at a size of the batch, before its axis does,');
  }
  if (reshape && changed.length > 1) throw refusal(node.op, 'a reshape with two sizes that depend on the batch');
  for (const i of changed) numbers[i] = reshape ? -1n : END;
  return ndArray('int64', a.shape, BigInt64Array.from(numbers));
}

/** Whether entry i of a slice's ends is the whole size of the axis it is about. */
function reachesEnd({ inputs }: Node, axes: NdArray | undefined, ends: NdArray, i: number): boolean {
  const axis = axes === undefined ? i : Number(axes.data[i]);
  return inputs[0]?.shape[axis] === Number(ends.data[i]);
}

function refusal(where: string, problem: string, hint?: string): CodaError {
  return new CodaError({
    kind: 'unsupported',
    where: `trace: ${where}`,
    problem: `${problem} does not make a graph for any batch size`,
    hint,
  });
}
