/** The padding of a window operator for images of any size: how it was asked for, and what it came to in several traces, to hold the one against the other. */
import type { Attribute, Node } from './graph.ts';

type Attributes = Node['attributes'];

/** Of one node in all traces: `pads` or SAME_UPPER among its attributes, or `inFront`, nodes that pad what it reads (`pad-to-same.ts`). */
export interface AnyPadding {
  readonly attributes: Attributes;
  /** Along each axis of space; undefined where the attributes say all. */
  readonly inFront?: readonly Window[] | undefined;
}

export interface Window {
  /** Elements from the first of the window to its last. */
  readonly window: number;
  readonly stride: number;
}

const numbers = (attribute: Attribute | undefined, length: number): readonly number[] =>
  attribute !== undefined && 'ints' in attribute ? attribute.ints : Array<number>(length).fill(1);

interface Axis extends Window {
  readonly size: number;
  readonly count: number;
  readonly before: number;
}

function axesOf({ inputs, output, attributes }: Node): readonly Axis[] {
  const space = (inputs[0]?.shape.slice(2) ?? []) as readonly number[];
  const rank = space.length;
  const [kernel, strides, dilations, pads] = ['kernel_shape', 'strides', 'dilations', 'pads'].map((name) =>
    numbers(attributes[name], rank),
  );
  return space.map((size, i) => ({
    size,
    count: output.shape[2 + i] as number,
    window: ((kernel?.[i] as number) - 1) * (dilations?.[i] as number) + 1,
    stride: strides?.[i] as number,
    before: pads?.[i] as number,
  }));
}

/**
 * Undefined for nodes that differ in more than their padding, and for padding that is not what was asked for: TensorFlow.js takes the height of a window for
 * its width in some.
 *
 * "same" is ⌈size / stride⌉ windows, the odd element of padding behind, which ONNX calls SAME_UPPER. A stride of 1 or 2 needs no more than both parities show; numbers
 * are the same at any size.
 */
export function generalisePadding(nodes: readonly Node[]): AnyPadding | undefined {
  const rests = nodes.map(({ attributes: { pads, ...rest }, padding }) => ({ pads, padding, rest }));
  const { rest, padding } = rests[0] as (typeof rests)[number];
  if (padding === undefined || rests.some((other) => other.pads === undefined || JSON.stringify(other.rest) !== JSON.stringify(rest))) {
    return undefined;
  }
  const traces = nodes.map((node) => axesOf(node));
  const first = traces[0] as readonly Axis[];
  const before = first.map((axis) => axis.before);
  const after = padding === 'same' ? most(nodes, first.length) : padding;
  const fits = ({ size, count, window, stride, before: start }: Axis, i: number): boolean =>
    start === before[i] && Math.floor((size + start + (after[i] as number) - window) / stride) + 1 === count;
  const pads = { ...rest, pads: { ints: [...before, ...after] } };
  const fixed = traces.every((axes) => axes.every(fits));
  if (padding !== 'same') return fixed ? { attributes: pads } : undefined;
  const shown = first.every(({ stride, window }) => stride <= 2 || window === 1);
  if (fixed && shown) return { attributes: pads };
  // runtimes take what a window smaller than its stride leaves out for negative padding
  if (first.every(({ stride, window }) => window >= stride)) return { attributes: { ...rest, auto_pad: { string: 'SAME_UPPER' } } };
  return { attributes: { ...rest, pads: { ints: Array<number>(2 * first.length).fill(0) } }, inFront: first };
}

const most = (nodes: readonly Node[], rank: number): readonly number[] =>
  Array.from({ length: rank }, (_, i) =>
    Math.max(...nodes.map(({ attributes }) => numbers(attributes['pads'], 2 * rank)[rank + i] as number)),
  );
