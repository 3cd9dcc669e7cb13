/**
 * Two-dimensional convolutions and their gradients. Tensors are NHWC as tfjs has them; values lie in NCHW as ONNX wants them, and
 * everything around that can work there leaves them so.
 */
import { CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { int, ints } from '../graph.ts';
import type { BlockedLayout, ConvWindow } from '../blocked-layout.ts';
import type { GraphBuilder, StaticValue } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { NCHW, type Layouts, type TracedArray } from '../traced-array.ts';
import { asProduct, productConv, productFilterGradient, productInputGradient } from './convolution-as-product.ts';
import { paddingAsked, type PaddingAttrs } from './padding-asked.ts';
import { padValue, reverseValue } from './shape.ts';

/** [height, width, in, out] → [out, in, height, width] and [in, out, height, width]. */
const OIHW = [3, 2, 0, 1];
const IOHW = [2, 3, 0, 1];

export interface ConvolutionAttrs {
  readonly strides: number | [number, number];
  readonly pad: number | 'valid' | 'same' | tf.backend_util.ExplicitPadding;
  readonly dataFormat?: 'NHWC' | 'NCHW';
  readonly dilations?: number | [number, number];
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** Channels last, as everything here has them. A transpose costs nothing. */
const CHANNELS_LAST = [0, 2, 3, 1];
const isChannelsFirst = (attrs: ConvolutionAttrs): boolean => attrs.dataFormat === 'NCHW';

export function geometry(input: readonly number[], filter: readonly number[], attrs: ConvolutionAttrs, depthwise = false) {
  // images come with their channels last, and so does their padding
  const pad =
    isChannelsFirst(attrs) && Array.isArray(attrs.pad) ? CHANNELS_LAST.map((axis) => (attrs.pad as Sides)[axis] as Side) : attrs.pad;
  const info = tf.backend_util.computeConv2DInfo(
    input as [number, number, number, number],
    filter as [number, number, number, number],
    attrs.strides,
    attrs.dilations ?? 1,
    pad as 'valid',
    attrs.dimRoundingMode,
    depthwise,
  );
  const { top, left } = info.padInfo;
  const bottom = endPad(info.inHeight, info.outHeight, info.strideHeight, info.effectiveFilterHeight, top);
  const right = endPad(info.inWidth, info.outWidth, info.strideWidth, info.effectiveFilterWidth, left);
  const padding = paddingAsked({ ...attrs, pad: pad as PaddingAttrs['pad'] }, [info.strideHeight, info.strideWidth]);
  return { ...info, padInfo: { top, left, bottom, right }, padding };
}
type Side = readonly [number, number];
type Sides = readonly Side[];
export type Geometry = ReturnType<typeof geometry>;

/**
 * As much padding behind the last element as the last of `count` windows needs: sizes that are rounded up need more than was asked for. TensorFlow.js counts
 * the windows along the width by the height of the filter where padding is a number; when that is fewer than fit, no padding gives as few.
 */
export function endPad(size: number, count: number, stride: number, window: number, before: number): number {
  // TensorFlow.js lets the first window of a volume begin inside where "same" needs less than no padding, which TensorFlow does not
  if (before < 0) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'trace: padding',
      problem: 'windows that leave out the beginning of an axis',
      expected: `a stride of at most the size of the window, ${window}`,
      got: String(stride),
      hint: 'Pad by "valid".',
    });
  }
  const needed = (count - 1) * stride + window - size - before;
  if (needed > -stride) return Math.max(0, needed);
  throw new CodaError({
    kind: 'unsupported',
    where: 'trace: padding',
    problem: 'fewer windows than fit along an axis',
    expected: `${Math.floor((size + before - window) / stride) + 1} of size ${window} every ${stride}`,
    got: String(count),
    hint: 'Pad by "same", "valid", or numbers for each side.',
  });
}

export const toNhwc = (x: TracedArray, attrs: ConvolutionAttrs, layouts: Layouts): TracedArray =>
  isChannelsFirst(attrs) ? layouts.transpose(x, CHANNELS_LAST) : x;
export const fromNhwc = (x: TracedArray, attrs: ConvolutionAttrs, layouts: Layouts): TracedArray =>
  isChannelsFirst(attrs) ? layouts.transpose(x, NCHW) : x;

/** The blocked layout where the runtime has it and a convolution of these channels, forward or back, is faster in it. */
function blocksFor(layouts: Layouts, g: Geometry, filter: TracedArray, from: number, to: number): BlockedLayout | undefined {
  const { blocks } = layouts;
  return blocks?.worthwhile(from, to, g.batchSize * g.outHeight * g.outWidth, filter.value) === true ? blocks : undefined;
}

/** The value of x in blocks, or in NCHW where its channels fill none. */
function entered(x: TracedArray, layouts: Layouts): StaticValue {
  if (x.blocked === true) return x.value;
  const value = layouts.dense(x, NCHW);
  const blocks = layouts.blocks as BlockedLayout;
  return blocks.fits(x.shape[3] as number) ? blocks.enter(value) : value;
}

const blockedNhwc = (value: StaticValue): TracedArray => ({ ...nhwc(value), blocked: true });

function windowOf(g: Geometry): ConvWindow {
  const { top, left, bottom, right } = g.padInfo;
  return {
    kernel: [g.filterHeight, g.filterWidth],
    strides: [g.strideHeight, g.strideWidth],
    dilations: [g.dilationHeight, g.dilationWidth],
    pads: [top, left, bottom, right],
  };
}

/** The tensor of a value that lies in NCHW. */
export const nhwc = (value: StaticValue): TracedArray => {
  const [n, c, h, w] = value.shape as [number, number, number, number];
  return { value, shape: [n, h, w, c], order: NCHW };
};

kernel<{ x: TracedArray; filter: TracedArray }, ConvolutionAttrs>(
  'Conv2D',
  ({ x, filter }, { attrs, layouts }) => {
    return fromNhwc(convolution(toNhwc(x, attrs, layouts), filter, attrs, layouts), attrs, layouts);
  },
  { blocked: true },
);

/** Of x [N, H, W, in], whatever the data format of `attrs`. */
export function convolution(x: TracedArray, filter: TracedArray, attrs: ConvolutionAttrs, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  const g = geometry(x.shape, filter.shape, attrs);
  if (asProduct(g, x, layouts, builder.isConstant(filter.value))) return productConv(x, filter, g, layouts);
  const { top, left, bottom, right } = g.padInfo;
  const shape = [g.batchSize, g.outChannels, g.outHeight, g.outWidth];
  const blocks = blocksFor(layouts, g, filter, g.inChannels, g.outChannels);
  if (blocks !== undefined) {
    const prepared = blocks.filter(layouts.dense(filter));
    return blockedNhwc(blocks.conv(entered(x, layouts), prepared, windowOf(g), shape));
  }
  const attributes = {
    kernel_shape: ints([g.filterHeight, g.filterWidth]),
    strides: ints([g.strideHeight, g.strideWidth]),
    dilations: ints([g.dilationHeight, g.dilationWidth]),
    pads: ints([top, left, bottom, right]),
  };
  const { padding } = g;
  return nhwc(builder.emit('Conv', [layouts.dense(x, NCHW), layouts.dense(filter, OIHW)], 'float32', shape, attributes, { padding }));
}

kernel<{ dy: TracedArray; filter: TracedArray }, ConvolutionAttrs & { inputShape: number[] }>(
  'Conv2DBackpropInput',
  ({ dy, filter }, { attrs, layouts }) => {
    const inputShape = isChannelsFirst(attrs) ? CHANNELS_LAST.map((axis) => attrs.inputShape[axis] as number) : attrs.inputShape;
    return fromNhwc(inputGradient(toNhwc(dy, attrs, layouts), filter, geometry(inputShape, filter.shape, attrs), layouts), attrs, layouts);
  },
  { blocked: true },
);

/** dL/dx: at stride 1 a convolution of dy with the reversed filter, which runs faster than a transposed one. */
function inputGradient(dy: TracedArray, filter: TracedArray, g: Geometry, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  if (asProduct(g, dy, layouts) && g.strideHeight * g.strideWidth === 1) return productInputGradient(dy, filter, g, layouts);
  const { top, left, bottom, right } = g.padInfo;
  const shape = [g.batchSize, g.inChannels, g.inHeight, g.inWidth];
  const spread = [(g.filterHeight - 1) * g.dilationHeight, (g.filterWidth - 1) * g.dilationWidth] as const;
  const kernelShape = ints([g.filterHeight, g.filterWidth]);
  const dilations = ints([g.dilationHeight, g.dilationWidth]);
  const pads = [spread[0] - top, spread[1] - left, spread[0] - bottom, spread[1] - right];
  const direct = g.strideHeight === 1 && g.strideWidth === 1 && pads.every((p) => p >= 0);
  const blocks = direct ? blocksFor(layouts, g, filter, g.outChannels, g.inChannels) : undefined;
  if (blocks !== undefined) {
    const straight = layouts.dense(filter);
    const reversed = g.filterHeight * g.filterWidth === 1 ? straight : reverseValue(straight, [0, 1], builder);
    const window: ConvWindow = { ...windowOf(g), pads: pads as [number, number, number, number] };
    return blockedNhwc(blocks.conv(entered(dy, layouts), blocks.filter(reversed, true), window, shape));
  }
  const upstream = layouts.dense(dy, NCHW);
  if (direct) {
    const straight = layouts.dense(filter, IOHW);
    const reversed = g.filterHeight * g.filterWidth === 1 ? straight : reverseValue(straight, [2, 3], builder);
    return nhwc(
      builder.emit('Conv', [upstream, reversed], 'float32', shape, {
        kernel_shape: kernelShape,
        strides: ints([1, 1]),
        dilations,
        pads: ints(pads),
      }),
    );
  }
  const reach = [(g.outHeight - 1) * g.strideHeight + spread[0] + 1, (g.outWidth - 1) * g.strideWidth + spread[1] + 1] as const;
  return nhwc(
    builder.emit('ConvTranspose', [upstream, layouts.dense(filter, OIHW)], 'float32', shape, {
      kernel_shape: kernelShape,
      strides: ints([g.strideHeight, g.strideWidth]),
      dilations,
      pads: ints([top, left, bottom, right]),
      output_padding: ints([g.inHeight + top + bottom - reach[0], g.inWidth + left + right - reach[1]]),
    }),
  );
}

/**
 * dL/dfilter[i, j] = Σ_{n, y, x} input[n, y·s + i − top, x·s + j − left] · dy[n, y, x]: one product of shifted copies.
 *
 * All shifts of the input against dy need height·width copies of the input. At stride 1 a shift splits in two: shifting the input by j along
 * the width and dy by −i along the height gives the same pairs from width copies of one and height copies of the other, in a squarer product.
 * Whichever copies less is taken.
 */
kernel<{ x: TracedArray; dy: TracedArray }, ConvolutionAttrs & { filterShape: number[] }>(
  'Conv2DBackpropFilter',
  (inputs, { attrs, layouts, builder }) => {
    const [x, dy] = [toNhwc(inputs.x, attrs, layouts), toNhwc(inputs.dy, attrs, layouts)];
    const g = geometry(x.shape, attrs.filterShape, attrs);
    if (asProduct(g, dy, layouts)) return productFilterGradient(x, dy, g, layouts);
    const { blocks } = layouts;
    if (blocks !== undefined && blockedFilterGradient(blocks, g)) {
      const value = blocks.filterGradient(reachOf(x, g, layouts), entered(dy, layouts), windowOf(g));
      return { value, shape: attrs.filterShape, order: [2, 3, 0, 1] };
    }
    const input = layouts.dense(x, NCHW);
    const upstream = layouts.dense(dy, NCHW);
    const { filterHeight: kh, filterWidth: kw, inChannels: ci, outChannels: co } = g;
    const sameSize = g.inHeight === g.outHeight && g.inWidth === g.outWidth;
    const separable = sameSize && g.strideHeight === 1 && g.strideWidth === 1 && g.dilationHeight === 1 && g.dilationWidth === 1;
    if (separable && kw * ci + kh * co < kh * kw * ci) {
      const left = shifted(
        input,
        kw,
        (j) => [
          [0, 0],
          [g.padInfo.left - j, j - g.padInfo.left],
        ],
        builder,
      );
      const right = shifted(
        upstream,
        kh,
        (i) => [
          [i - g.padInfo.top, g.padInfo.top - i],
          [0, 0],
        ],
        builder,
      );
      // [j, in, i, out] → [i, j, in, out]
      const product = summedProduct(left, right, builder);
      const split = layouts.builder.reshape(product, [kw, ci, kh, co]);
      return { value: split, shape: attrs.filterShape, order: [1, 2, 0, 3] };
    }
    const product = summedProduct(patches(input, g, builder), upstream, builder);
    return { value: layouts.builder.reshape(product, [kh, kw, ci, co]), shape: attrs.filterShape, order: [0, 1, 2, 3] };
  },
  { blocked: true },
);

/** One position of the filter makes a matrix product, which needs no images in the place of channels. */
const blockedFilterGradient = (blocks: BlockedLayout, g: Geometry): boolean =>
  blocks.fits(g.batchSize) && blocks.fits(g.outChannels) && g.filterHeight * g.filterWidth > 1;

/** All of x [N, H, W, C] that the filter sees, with zeros where it reaches beyond: [N, C, H″, W″]. */
function reachOf(x: TracedArray, g: Geometry, layouts: Layouts): StaticValue {
  const { top, left } = g.padInfo;
  const height = (g.outHeight - 1) * g.strideHeight + (g.filterHeight - 1) * g.dilationHeight + 1;
  const width = (g.outWidth - 1) * g.strideWidth + (g.filterWidth - 1) * g.dilationWidth + 1;
  const pads = [
    [0, 0],
    [0, 0],
    [top, height - top - g.inHeight],
    [left, width - left - g.inWidth],
  ] as const;
  const value = layouts.dense(x, NCHW);
  return pads.every(([before, after]) => before === 0 && after === 0) ? value : padValue(value, pads, 0, layouts.builder);
}

type Pads = readonly [readonly [number, number], readonly [number, number]];

/** `count` copies of x [N, C, H, W] along C, each moved over its own zeros. */
function shifted(x: StaticValue, count: number, pads: (copy: number) => Pads, builder: GraphBuilder): StaticValue {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const copies = Array.from({ length: count }, (_, i) => {
    const [vertical, horizontal] = pads(i);
    if (vertical[0] === 0 && horizontal[0] === 0) return x;
    if (horizontal[0] !== 0) return padValue(x, [[0, 0], [0, 0], vertical, horizontal], 0, builder);
    // a vertical move alone is one long copy a channel rather than one a row
    const rows = builder.reshape(x, [n, c, h * w]);
    const moved = padValue(
      rows,
      [
        [0, 0],
        [0, 0],
        [vertical[0] * w, vertical[1] * w],
      ],
      0,
      builder,
    );
    return builder.reshape(moved, [n, c, h, w]);
  });
  return count === 1 ? (copies[0] as StaticValue) : builder.emit('Concat', copies, 'float32', [n, count * c, h, w], { axis: int(1) });
}

/** Every position of the filter over x [N, C, H, W]: [N, height·width·C, H', W']. */
export function patches(x: StaticValue, g: Geometry, builder: GraphBuilder): StaticValue {
  const { top, left, bottom, right } = g.padInfo;
  const padded =
    top + left + bottom + right === 0
      ? x
      : padValue(
          x,
          [
            [0, 0],
            [0, 0],
            [top, bottom],
            [left, right],
          ],
          0,
          builder,
        );
  const shape = [g.batchSize, g.inChannels, g.outHeight, g.outWidth];
  const cut = (i: number, j: number): StaticValue => {
    const from = [i * g.dilationHeight, j * g.dilationWidth] as const;
    const to = [from[0] + (g.outHeight - 1) * g.strideHeight + 1, from[1] + (g.outWidth - 1) * g.strideWidth + 1];
    if (from[0] === 0 && from[1] === 0 && to[0] === padded.shape[2] && to[1] === padded.shape[3] && g.strideHeight * g.strideWidth === 1) {
      return padded;
    }
    const steps = builder.int64([g.strideHeight, g.strideWidth]);
    return builder.emit('Slice', [padded, builder.int64(from), builder.int64(to), builder.int64([2, 3]), steps], 'float32', shape);
  };
  const all = Array.from({ length: g.filterHeight * g.filterWidth }, (_, k) => cut(Math.floor(k / g.filterWidth), k % g.filterWidth));
  if (all.length === 1) return all[0] as StaticValue;
  const channels = all.length * g.inChannels;
  return builder.emit('Concat', all, 'float32', [g.batchSize, channels, g.outHeight, g.outWidth], { axis: int(1) });
}

/**
 * Σ_{n, p} a[n, i, p] · b[n, j, p] of a [N, I, H, W] and b [N, J, H, W]: [I, J]. Either image by image and summed, which writes N·I·J numbers, or as one
 * product after bringing n and p together, which moves both operands; whichever touches less.
 */
function summedProduct(a: StaticValue, b: StaticValue, builder: GraphBuilder): StaticValue {
  const [n, rows, height, width] = a.shape as [number, number, number, number];
  const columns = b.shape[1] as number;
  const inner = height * width;
  const [left, right] = [builder.reshape(a, [n, rows, inner]), builder.reshape(b, [n, columns, inner])];
  if (rows * columns > 2 * inner * (rows + columns)) {
    const together = (x: StaticValue, channels: number): StaticValue => {
      const moved = builder.emit('Transpose', [x], 'float32', [channels, n, inner], { perm: ints([1, 0, 2]) });
      return builder.reshape(moved, [channels, n * inner]);
    };
    const operands = [together(left, rows), together(right, columns)];
    return builder.emit('Gemm', operands, 'float32', [rows, columns], { transA: int(0), transB: int(1) });
  }
  const turned = builder.emit('Transpose', [right], 'float32', [n, inner, columns], { perm: ints([0, 2, 1]) });
  const products = builder.emit('MatMul', [left, turned], 'float32', [n, rows, columns]);
  return builder.emit('ReduceSum', [products, builder.int64([0])], 'float32', [rows, columns], { keepdims: int(0) });
}
