/**
 * Padding by "same" as nodes in front of a window operator, for windows smaller than their stride: how much they need depends on the size of the image, and SAME_UPPER
 * means something else to runtimes there. Of n elements, windows of size k every s:
 *
 *     p = max(0, (⌈n/s⌉ − 1)·s + k − n)     ⌊p/2⌋ before, p − ⌊p/2⌋ behind
 *
 * A mean is over the elements that are there: the mean with zeros around, by that of ones with zeros around.
 */
import { ndArray } from '@coda-nets/core';
import type { Window } from './generalise-padding.ts';
import { int, type Dim, type Node, type Value } from './graph.ts';
import type { Additions } from './open-dims.ts';

/** `node` with fixed pads of 0, reading [N, C, …space]; `padded`: what the sizes of space are called afterwards. Adds nodes; returns those that stand for `node`. */
export function padToSame(
  node: Node,
  windows: readonly Window[],
  padded: readonly Dim[],
  { nodes, constants }: Additions,
): readonly Node[] {
  const rank = windows.length;
  const int64 = (values: readonly number[]): Value => {
    const value: Value = { dtype: 'int64', shape: [values.length] };
    constants.set(value, ndArray('int64', [values.length], BigInt64Array.from(values, BigInt)));
    return value;
  };
  const emit = (op: string, inputs: readonly Value[], length: number, attributes: Node['attributes'] = {}): Value => {
    const output: Value = { dtype: 'int64', shape: [length] };
    nodes.push({ op, inputs, output, attributes });
    return output;
  };
  const scalar = (x: number): Value => {
    const value: Value = { dtype: 'float32', shape: [] };
    constants.set(value, ndArray('float32', [], Float32Array.of(x)));
    return value;
  };
  const [x, ...others] = node.inputs as readonly [Value, ...(Value | undefined)[]];
  const strides = int64(windows.map(({ stride }) => stride));
  const size = emit('Shape', [x], rank, { start: int(2) });
  // ⌈n/s⌉ − 1 = ⌊(n − 1)/s⌋
  const steps = emit('Mul', [emit('Div', [emit('Sub', [size, int64([1])], rank), strides], rank), strides], rank);
  const reach = emit('Add', [steps, int64(windows.map(({ window }) => window))], rank);
  const total = emit('Max', [emit('Sub', [reach, size], rank), int64([0])], rank);
  const before = emit('Div', [total, int64([2])], rank);
  const none = int64([0, 0]);
  const pads = emit('Concat', [none, before, none, emit('Sub', [total, before], rank)], 4 + 2 * rank, { axis: int(0) });
  const around = (value: Value, fill: number): Value => {
    const output: Value = { dtype: 'float32', shape: [...value.shape.slice(0, 2), ...padded] };
    nodes.push({ op: 'Pad', inputs: [value, pads, scalar(fill)], output, attributes: {} });
    return output;
  };
  const over = (value: Value, output: Value): Node => ({ ...node, inputs: [value, ...others], output });
  if (node.op === 'MaxPool') return [over(around(x, -Infinity), node.output)];
  if (node.op !== 'AveragePool') return [over(around(x, 0), node.output)];
  const ones: Value = { dtype: 'float32', shape: [1, 1, ...x.shape.slice(2)] };
  nodes.push({
    op: 'Expand',
    inputs: [scalar(1), emit('Concat', [int64([1, 1]), size], 2 + rank, { axis: int(0) })],
    output: ones,
    attributes: {},
  });
  const sum: Value = { dtype: 'float32', shape: node.output.shape };
  const share: Value = { dtype: 'float32', shape: [1, 1, ...node.output.shape.slice(2)] };
  const divided: Node = { op: 'Div', inputs: [sum, share], output: node.output, attributes: {} };
  return [over(around(x, 0), sum), over(around(ones, 0), share), divided];
}
