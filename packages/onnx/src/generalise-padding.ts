/** The padding of a window operator for images of any size, from its padding in several traces. */
import type { Attribute, Node } from './graph.ts';

type Attributes = Node['attributes'];

const numbers = (attribute: Attribute | undefined, length: number): readonly number[] =>
  attribute !== undefined && 'ints' in attribute ? attribute.ints : Array<number>(length).fill(1);

interface Axis {
  readonly size: number;
  readonly count: number;
  readonly window: number;
  readonly stride: number;
  readonly before: number;
  readonly after: number;
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
    after: pads?.[rank + i] as number,
  }));
}

/** ⌈size / stride⌉ windows, the odd element of padding behind: what ONNX calls SAME_UPPER and TensorFlow "same". */
function isSame({ size, count, window, stride, before, after }: Axis): boolean {
  const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + window - size);
  return count === Math.ceil(size / stride) && before === Math.floor(total / 2) && after === total - before;
}

/** The attributes with what stands for the padding: the most that a last window needs, or SAME_UPPER. Undefined where neither fits every trace. */
export function generalisePadding(nodes: readonly Node[]): Attributes | undefined {
  const rests = nodes.map(({ attributes: { pads, ...rest } }) => ({ pads, rest }));
  const { rest } = rests[0] as (typeof rests)[number];
  if (rests.some((other) => other.pads === undefined || JSON.stringify(other.rest) !== JSON.stringify(rest))) return undefined;
  const traces = nodes.map((node) => axesOf(node));
  const first = traces[0] as readonly Axis[];
  const before = first.map((axis) => axis.before);
  const after = first.map((_, i) => Math.max(...traces.map((axes) => (axes[i] as Axis).after)));
  const fits = ({ size, count, window, stride, before: start }: Axis, i: number): boolean =>
    start === before[i] && Math.floor((size + start + (after[i] as number) - window) / stride) + 1 === count;
  const same = traces.flat().every(isSame);
  // three sizes do not show every remainder of a larger stride: what is "same" in all of them was asked for as that
  if (same && first.some(({ stride, window }) => stride > 2 && window > 1)) {
    // runtimes take what a window smaller than its stride leaves out for negative padding
    return first.some(({ stride, window }) => window < stride) ? undefined : { ...rest, auto_pad: { string: 'SAME_UPPER' } };
  }
  if (traces.every((axes) => axes.every(fits))) return { ...rest, pads: { ints: [...before, ...after] } };
  return same ? { ...rest, auto_pad: { string: 'SAME_UPPER' } } : undefined;
}
