/**
 * Images whose channels lie in blocks, and the operators that work on them: [N, C/b, H, W, b] in memory, declared as [N, C, H, W]. These operators
 * (`com.microsoft.nchwc`) are what ONNX Runtime rewrites an inference graph to, with constant filters and nothing else. A training step's filters are
 * not constant, so here they are recorded as they are needed. They run twice as fast as Conv on NCHW, and a depthwise 1×1 convolution is scale, shift,
 * sum and activation in one pass over memory.
 *
 * b is what the machine's vector unit takes at once: a graph with such operators is for the process that asked for it, never for a file.
 */
import type { GraphBuilder, StaticValue } from './graph-builder.ts';
import { int, ints, type Attribute } from './graph.ts';

const BLOCKED_DOMAIN = 'com.microsoft.nchwc';

/** A filter is rearranged in every step; with fewer positions than this to use it at, that costs more than it gains. */
const MIN_POSITIONS = 512;

/** A convolution of x over blocked channels: activation(conv(x, filter) + bias + sum). */
interface BlockedConv {
  readonly x: StaticValue;
  readonly filter: StaticValue;
  readonly bias?: StaticValue | undefined;
  readonly sum?: StaticValue | undefined;
  readonly relu?: boolean;
  readonly shape: readonly number[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface ConvWindow {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** top, left, bottom, right */
  readonly pads: readonly [number, number, number, number];
}

export class BlockedLayout {
  /** b: channels in a block. */
  readonly block: number;
  readonly #builder: GraphBuilder;
  /** Scales and shifts that a following sum, shift or activation may join, which costs them no pass of their own. */
  readonly #scaled = new Map<StaticValue, BlockedConv>();
  readonly #rectified = new Map<StaticValue, StaticValue>();

  constructor(block: number, builder: GraphBuilder) {
    this.block = block;
    this.#builder = builder;
  }

  fits(channels: number): boolean {
    return channels > 0 && channels % this.block === 0;
  }

  /** Whether a convolution with a filter that is no constant gains: [in, out] channels at so many positions of the output. */
  worthwhile(inChannels: number, outChannels: number, positions: number, filter: StaticValue): boolean {
    const input = this.fits(inChannels) || inChannels < this.block;
    return input && this.fits(outChannels) && positions >= MIN_POSITIONS && !this.#builder.isConstant(filter);
  }

  /** [N, C, H, W] → its blocked twin. */
  enter(x: StaticValue): StaticValue {
    return this.#emit('ReorderInput', [x], x.shape);
  }

  /** The blocked twin → [N, C, H, W]. Truth values have no such operator: they leave as numbers. */
  leave(x: StaticValue): StaticValue {
    const numbers = this.#builder.cast(x, 'float32');
    const plain = this.#emit('ReorderOutput', [numbers], x.shape, { channels: int(x.shape[1] as number) });
    return this.#builder.cast(plain, x.dtype);
  }

  /**
   * A filter [kh, kw, in, out] as blocked convolutions want it: [out/b, in/b, kh, kw, b in, b out], or [out/b, in, kh, kw, b out] for fewer channels than
   * a block, whose images are not blocked; `transposed` exchanges in and out.
   */
  filter(value: StaticValue, transposed = false): StaticValue {
    const [kh, kw, channelsIn, channelsOut] = value.shape as [number, number, number, number];
    const b = this.block;
    const inside = transposed ? channelsOut : channelsIn;
    const outside = transposed ? channelsIn : channelsOut;
    const inBlock = inside < b ? inside : b;
    const [first, second] = transposed ? [b, inBlock] : [inBlock, b];
    const split = this.#builder.reshape(value, [kh, kw, channelsIn / first, first, channelsOut / second, second]);
    const perm = transposed ? [2, 4, 0, 1, 5, 3] : [4, 2, 0, 1, 3, 5];
    const moved = inside < b ? (transposed ? [2, 5, 4, 0, 1, 3] : [4, 3, 2, 0, 1, 5]) : perm;
    const turned = this.#builder.emit(
      'Transpose',
      [split],
      'float32',
      moved.map((p) => split.shape[p] as number),
      { perm: ints(moved) },
    );
    return this.#builder.reshape(turned, [outside, inside, kh, kw]);
  }

  /** x blocked, or of fewer channels than a block and not; the result is blocked. `filter` from `filter()`. */
  conv(x: StaticValue, filter: StaticValue, window: ConvWindow, shape: readonly number[]): StaticValue {
    return this.#convolve({ x, filter, shape, attributes: windowAttributes(window) });
  }

  /** x ⊙ s for s [C] */
  scaled(x: StaticValue, scale: StaticValue): StaticValue {
    const filter = this.#builder.reshape(scale, [x.shape[1] as number, 1, 1, 1]);
    const attributes = { kernel_shape: ints([1, 1]), group: int(x.shape[1] as number) };
    return this.#scale({ x, filter, shape: x.shape, attributes });
  }

  /** x + t for t [C] */
  shifted(x: StaticValue, shift: StaticValue): StaticValue {
    const known = this.#scaled.get(x);
    if (known !== undefined && known.relu !== true && known.bias === undefined) return this.#scale({ ...known, bias: shift });
    const ones = this.#builder.ones([x.shape[1] as number, 1, 1, 1]);
    const attributes = { kernel_shape: ints([1, 1]), group: int(x.shape[1] as number) };
    return this.#scale({ x, filter: ones, bias: shift, shape: x.shape, attributes });
  }

  /** x + y for two blocked values of one shape. */
  sum(x: StaticValue, y: StaticValue): StaticValue {
    for (const [a, b] of [
      [x, y],
      [y, x],
    ] as const) {
      const known = this.#scaled.get(a);
      if (known !== undefined && known.relu !== true && known.sum === undefined) return this.#scale({ ...known, sum: b });
    }
    return this.#builder.emit('Add', [x, y], 'float32', x.shape);
  }

  /** max(x, 0) */
  relu(x: StaticValue): StaticValue {
    const known = this.#scaled.get(x);
    const value =
      known !== undefined && known.relu !== true
        ? this.#scale({ ...known, relu: true })
        : this.#builder.emit('Relu', [x], 'float32', x.shape);
    this.#rectified.set(x, value);
    return value;
  }

  /** max(x, 0) where that was asked for, else x: the same numbers are above 0, and x itself need not be kept. */
  rectified(x: StaticValue): StaticValue {
    return this.#rectified.get(x) ?? x;
  }

  /** Mean over H and W of a blocked value: [N, C], in the channels' own order. */
  meanOfImages(x: StaticValue): StaticValue {
    const [n, c] = x.shape as [number, number];
    return this.#builder.reshape(this.#emit('GlobalAveragePool', [x], [n, c, 1, 1]), [n, c]);
  }

  /**
   * dL/dfilter[i, j, c, o] = Σ_{n, y, x} input[n, c, y·s + i·d, x·s + j·d] · dy[n, o, y, x] as one convolution in which images and channels change places: the
   * input's channels are the images, its images the channels, and dy is the filter. input [N, C, H, W] is padded already and not blocked, dy
   * [N, O, H', W'] blocked. The result is [C, O, kh, kw] and not blocked.
   */
  filterGradient(input: StaticValue, dy: StaticValue, { kernel, strides, dilations }: ConvWindow): StaticValue {
    const [n, o, height, width] = dy.shape as [number, number, number, number];
    const b = this.block;
    const c = input.shape[1] as number;
    const turnedShape = [c, n, ...input.shape.slice(2)];
    const turned = this.#builder.emit('Transpose', [input], 'float32', turnedShape, { perm: ints([1, 0, 2, 3]) });
    const split = this.#builder.reshape(dy, [n / b, b, o / b, height * width, b]);
    const moved = [o / b, n / b, height * width, b, b];
    const filter = this.#builder.reshape(this.#builder.emit('Transpose', [split], 'float32', moved, { perm: ints([2, 0, 3, 1, 4]) }), [
      o,
      n,
      height,
      width,
    ]);
    const window: ConvWindow = { kernel: [height, width], strides: dilations, dilations: strides, pads: [0, 0, 0, 0] };
    return this.leave(this.conv(this.enter(turned), filter, window, [c, o, ...kernel]));
  }

  #scale(conv: BlockedConv): StaticValue {
    const value = this.#convolve(conv);
    this.#scaled.set(value, conv);
    return value;
  }

  #convolve({ x, filter, bias, sum, relu, shape, attributes }: BlockedConv): StaticValue {
    const inputs = sum !== undefined ? [x, filter, bias, sum] : bias !== undefined ? [x, filter, bias] : [x, filter];
    return this.#emit('Conv', inputs, shape, relu === true ? { ...attributes, activation: { string: 'Relu' } } : attributes);
  }

  #emit(
    op: string,
    inputs: readonly (StaticValue | undefined)[],
    shape: readonly number[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): StaticValue {
    return this.#builder.emit(op, inputs, 'float32', shape, attributes, { domain: BLOCKED_DOMAIN });
  }
}

const windowAttributes = ({ kernel, strides, dilations, pads }: ConvWindow): Record<string, Attribute> => ({
  kernel_shape: ints(kernel),
  strides: ints(strides),
  dilations: ints(dilations),
  pads: ints(pads),
});
