/**
 * Two transposes in a row become one or none, and an elementwise node whose operands are transposed is transposed itself instead, as is a sum. So transposes
 * move towards the outputs until they meet their inverse. What recording leaves (docs/decisions/0001) is little; two layouts that meet in an
 * explanation are most of it.
 *
 * Ensures: no transpose reads a transpose, and none keeps the order.
 */
import { ndArray, type NdArray } from '@coda-nets/core';
import type { Dim, Graph, Node, Value } from '../graph.ts';
import { eliminateDeadCode } from './eliminate-dead-code.ts';
import { transposed } from './evaluate.ts';
import type { Pass } from './pass.ts';
import { countReaders, rewrite, type Rewriting } from './rewrite.ts';
import { shareCommonSubexpressions } from './share-common-subexpressions.ts';

const elementwise = new Set(
  'Abs Add And Cast Ceil Clip Cos Div Elu Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Min Mul Neg Not Or Pow PRelu Reciprocal Relu Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum Tanh ThresholdedRelu Where Xor'.split(
    ' ',
  ),
);

const permOf = (node: Node): readonly number[] => (node.attributes['perm'] as { ints: readonly number[] }).ints;
const keepsOrder = (perm: readonly number[]): boolean => perm.every((axis, i) => axis === i);

export const mergeTransposes: Pass = {
  name: 'merge transposes',
  requires: [],
  ensures: [
    {
      name: 'no transpose of a transpose, and none without effect',
      problem: (graph) => {
        const origin = new Map<Value, Node>(graph.nodes.map((node) => [node.output, node]));
        const left = graph.nodes.find(
          (node) => node.op === 'Transpose' && (origin.get(node.inputs[0] as Value)?.op === 'Transpose' || keepsOrder(permOf(node))),
        );
        return left && `Transpose by [${permOf(left).join(', ')}]`;
      },
    },
  ],
  run: (graph) => {
    // moving a transpose past an operand that is not transposed costs one more at first, and pays where two layouts meet in many nodes
    const sunken = [false, true].map((bold) => shared(moved(graph, bold)));
    return [...sunken, ...sunken.map((candidate) => shared(hoisted(candidate)))].reduce((best, candidate) =>
      transposesOf(candidate) < transposesOf(best) ? candidate : best,
    );
  },
};

const shared = (graph: Graph): Graph => eliminateDeadCode(shareCommonSubexpressions.run(graph));
const transposesOf = (graph: Graph): number => graph.nodes.filter(({ op }) => op === 'Transpose').length;

/** T op(a, c) = op(T a, T c) with constants c: towards the inputs, where images are often transposed already. */
function hoisted(graph: Graph): Graph {
  const readers = countReaders(graph);
  return rewrite(graph, (node, rewriting) => {
    if (node.op !== 'Transpose') return rewriting.emit(node);
    const perm = permOf(node);
    const through = (value: Value, output: Value): Value => {
      const before = rewriting.originOf(value);
      const computed = before?.inputs.filter((v) => v !== undefined && rewriting.arrayOf(v) === undefined) ?? [];
      const operands = before?.inputs.map((v) => (v === undefined || v === computed[0] ? v : inOrder(v, perm, rewriting, false))) ?? [];
      const passes =
        before !== undefined &&
        elementwise.has(before.op) &&
        computed.length === 1 &&
        computed[0]?.shape.length === perm.length &&
        readers.get(value) === 1 &&
        operands.every((v, i) => (v === undefined) === (before.inputs[i] === undefined));
      if (!passes) return rewriting.emit({ ...node, inputs: [value], output });
      const [source] = computed as [Value];
      const moved: Value = { dtype: source.dtype, shape: perm.map((axis) => source.shape[axis] as Dim) };
      const inner = through(source, moved);
      return rewriting.emit({ ...before, inputs: operands.map((v) => (v === source ? inner : v)), output });
    };
    return through(node.inputs[0] as Value, node.output);
  });
}

function moved(graph: Graph, bold: boolean): Graph {
  const readers = new Map(countReaders(graph));
  return rewrite(graph, (node, rewriting) => {
    if (node.op === 'Transpose') return mergedTranspose(node, rewriting);
    if (node.op === 'ReduceSum') return throughSum(node, rewriting) ?? rewriting.emit(node);
    return (elementwise.has(node.op) ? sunk(node, rewriting, readers, bold) : undefined) ?? rewriting.emit(node);
  });
}

function mergedTranspose(node: Node, rewriting: Rewriting): Value {
  const source = node.inputs[0] as Value;
  const before = rewriting.originOf(source);
  if (before?.op !== 'Transpose') return keepsOrder(permOf(node)) ? source : rewriting.emit(node);
  const perm = permOf(node).map((axis) => permOf(before)[axis] as number);
  const first = before.inputs[0] as Value;
  return keepsOrder(perm) ? first : rewriting.emit({ ...node, inputs: [first], attributes: { perm: { ints: perm } } });
}

/** op(T a, T b, c) = T op(a, b, T⁻¹ c), where c is a constant; and where `bold`, any c. */
function sunk(node: Node, rewriting: Rewriting, readers: Map<Value, number>, bold: boolean): Value | undefined {
  const transposes = node.inputs.map((value) => transposeOf(value, rewriting));
  const first = transposes.find((t) => t !== undefined);
  if (first === undefined) return undefined;
  const perm = permOf(first);
  // a transpose that others read stays for them, and sinking it would add one
  if (!bold && !transposes.some((t) => t !== undefined && readers.get(t.output) === 1)) return undefined;
  const operands: (Value | undefined)[] = [];
  for (const [i, value] of node.inputs.entries()) {
    const t = transposes[i];
    const same = t !== undefined && permOf(t).join() === perm.join();
    const operand = value === undefined ? undefined : same ? t.inputs[0] : inOrder(value, inverseOf(perm), rewriting, bold);
    if (value !== undefined && operand === undefined) return undefined;
    operands.push(operand);
  }
  const shape = inverseOf(perm).map((axis) => node.output.shape[axis] as Dim);
  // the name of a value is that of the same numbers in another order, which are computed first
  const inner = rewriting.emit({ ...node, inputs: operands, output: { ...node.output, shape } });
  const output: Value = { dtype: node.output.dtype, shape: node.output.shape };
  readers.set(output, readers.get(node.output) ?? 0);
  return rewriting.emit({ op: 'Transpose', inputs: [inner], output, attributes: { perm: { ints: perm } } });
}

/** Σ over axes of T x: over the axes of x that they are; the transpose of what is left comes after. */
function throughSum(node: Node, rewriting: Rewriting): Value | undefined {
  const [source, axes] = node.inputs;
  const transpose = transposeOf(source, rewriting);
  const positions = rewriting.arrayOf(axes);
  if (transpose === undefined || positions === undefined || (node.attributes['keepdims'] as { int: number } | undefined)?.int !== 0)
    return undefined;
  const perm = permOf(transpose);
  const summed = Array.from(positions.data as BigInt64Array, (axis) => perm[(Number(axis) + perm.length) % perm.length] as number).sort(
    (a, b) => a - b,
  );
  const left = perm.filter((axis) => !summed.includes(axis));
  const rest = left.map((axis) => axis - summed.filter((s) => s < axis).length);
  const constant = rewriting.constant(
    ndArray(
      'int64',
      [summed.length],
      BigInt64Array.from(summed, (axis) => BigInt(axis)),
    ),
  );
  const inputs = [transpose.inputs[0], constant];
  if (keepsOrder(rest)) return rewriting.emit({ ...node, inputs });
  const shape = inverseOf(rest).map((axis) => node.output.shape[axis] as Dim);
  const inner = rewriting.emit({ ...node, inputs, output: { dtype: node.output.dtype, shape } });
  return rewriting.emit({ op: 'Transpose', inputs: [inner], output: node.output, attributes: { perm: { ints: rest } } });
}

const inverseOf = (perm: readonly number[]): readonly number[] => perm.map((_, axis) => perm.indexOf(axis));

function transposeOf(value: Value | undefined, rewriting: Rewriting): Node | undefined {
  const node = rewriting.originOf(value);
  return node?.op === 'Transpose' ? node : undefined;
}

/** A constant with its axes in the order of `perm`; where `bold`, a value that is transposed for it. */
function inOrder(value: Value, perm: readonly number[], rewriting: Rewriting, bold: boolean): Value | undefined {
  const array = rewriting.arrayOf(value);
  const missing = perm.length - value.shape.length;
  if (missing < 0) return undefined;
  if (array === undefined) {
    if (!bold || missing > 0) return undefined;
    const output: Value = { dtype: value.dtype, shape: perm.map((axis) => value.shape[axis] as Dim) };
    return mergedTranspose({ op: 'Transpose', inputs: [value], output, attributes: { perm: { ints: perm } } }, rewriting);
  }
  if (array.data.length === 1) return value;
  const full = { ...array, shape: [...Array<number>(missing).fill(1), ...array.shape] } as NdArray;
  return rewriting.constant(transposed(full, perm), value.hint);
}
