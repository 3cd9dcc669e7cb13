/** Where the windows of a two-dimensional convolution lie, in TensorFlow.js' own arithmetic, and the order of its tensors' axes. */
import { CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import type { StaticValue } from '../graph-builder.ts';
import { NCHW, type Layouts, type TracedArray } from '../traced-array.ts';
import { paddingAsked, type PaddingAttrs } from './padding-asked.ts';

export interface ConvolutionAttrs {
  readonly strides: number | [number, number];
  readonly pad: number | 'valid' | 'same' | tf.backend_util.ExplicitPadding;
  readonly dataFormat?: 'NHWC' | 'NCHW';
  readonly dilations?: number | [number, number];
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** Channels last, as everything here has them. A transpose costs nothing. */
export const CHANNELS_LAST = [0, 2, 3, 1];
export const isChannelsFirst = (attrs: ConvolutionAttrs): boolean => attrs.dataFormat === 'NCHW';

export function convolutionGeometry(input: readonly number[], filter: readonly number[], attrs: ConvolutionAttrs, depthwise = false) {
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
export type Geometry = ReturnType<typeof convolutionGeometry>;

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

/** The tensor of a value that lies in NCHW. */
export const nhwc = (value: StaticValue): TracedArray => {
  const [n, c, h, w] = value.shape as [number, number, number, number];
  return { value, shape: [n, h, w, c], order: NCHW };
};
