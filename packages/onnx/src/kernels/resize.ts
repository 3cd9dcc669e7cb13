/**
 * Resizing of images, bilinear and to the nearest element, and the gradients.
 *
 * A resize is linear and separable: y = A_h x A_wᵀ with a matrix for each axis, so the gradient is A_hᵀ dy A_w. That is the gradient of the forward pass
 * for every combination of flags; TensorFlow.js's own cpu kernels leave `halfPixelCenters` out of theirs, swap height and width (bilinear), and misplace
 * every image but the first (nearest).
 */
import { ndArray } from '@coda-nets/core';
import type { StaticValue } from '../graph-builder.ts';
import { kernel, type KernelContext } from '../kernel.ts';
import { NCHW, dtypeOf, plain, type Layouts, type TracedArray } from '../traced-array.ts';
import { nhwc } from './convolution-geometry.ts';
import { castArray } from './elementwise.ts';

const NHWC = [0, 1, 2, 3];

interface Attrs {
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
  readonly size?: [number, number];
}

/** Where the centre of output element i lies among `size` input elements that become `count`. */
function sourceOf(i: number, size: number, count: number, { alignCorners, halfPixelCenters }: Attrs, nearest: boolean): number {
  const ratio = alignCorners && count > 1 ? (size - 1) / (count - 1) : size / count;
  if (!halfPixelCenters) return ratio * i;
  return ratio * (i + 0.5) - (nearest ? 0 : 0.5);
}

function nearestOf(i: number, size: number, count: number, attrs: Attrs): number {
  const source = sourceOf(i, size, count, attrs, true);
  return Math.max(0, Math.min(size - 1, attrs.alignCorners ? Math.round(source) : Math.floor(source)));
}

/** A: the weight of each input element (column) in each output element (row). */
type Weights = (size: number, count: number, attrs: Attrs) => Float32Array;

const nearestWeights: Weights = (size, count, attrs) => {
  const weights = new Float32Array(count * size);
  for (let i = 0; i < count; i++) weights[i * size + nearestOf(i, size, count, attrs)] = 1;
  return weights;
};

const bilinearWeights: Weights = (size, count, attrs) => {
  const weights = new Float32Array(count * size);
  for (let i = 0; i < count; i++) {
    const source = Math.max(0, Math.min(size - 1, sourceOf(i, size, count, attrs, false)));
    const [low, high] = [Math.floor(source), Math.ceil(source)];
    weights[i * size + low] = 1 - (source - low);
    if (high !== low) weights[i * size + high] = source - low;
  }
  return weights;
};

kernel<{ images: TracedArray }, Attrs>('ResizeBilinear', ({ images }, { attrs, layouts, builder }) => {
  const [n, h, w, c] = images.shape as [number, number, number, number];
  const size = attrs.size as [number, number];
  const source = layouts.dense(castArray(builder, images, 'float32'), NCHW);
  // ONNX Runtime moves a transpose behind the resize, into orders that it then refuses, unless a reshape lies between
  const usual = [NHWC, NCHW].some((order) => order.join() === images.order.join());
  const outer = usual ? [n, c] : c === 1 ? [1, n] : [n * c, 1];
  const shape = [...outer, ...size];
  const coordinates = attrs.halfPixelCenters ? 'half_pixel' : attrs.alignCorners ? 'align_corners' : 'asymmetric';
  const operands = [layouts.builder.reshape(source, [...outer, h, w]), undefined, undefined, builder.int64(shape)];
  const value = builder.emit('Resize', operands, 'float32', shape, {
    mode: { string: 'linear' },
    coordinate_transformation_mode: { string: coordinates },
  });
  return nhwc(layouts.builder.reshape(value, [n, c, ...size]));
});

/** Runtimes differ in how they round positions: the indices are computed here, unless every element is repeated, which leaves nothing to round. */
kernel<{ images: TracedArray }, Attrs>('ResizeNearestNeighbor', ({ images }, { attrs, layouts, builder }) => {
  const size = attrs.size as [number, number];
  if (layouts.spaceIsOpen && !attrs.alignCorners) {
    const repeated = repeatedPixels(images, size, layouts);
    if (repeated !== undefined) return repeated;
  }
  const shape = images.shape.map((d, axis) => size[axis - 1] ?? d) as [number, number, number, number];
  shape[3] = images.shape[3] as number;
  let value = layouts.dense(images, images.order);
  for (const axis of [1, 2]) {
    const [from, to] = [images.shape[axis] as number, shape[axis] as number];
    const indices = Int32Array.from({ length: to }, (_, i) => nearestOf(i, from, to, attrs));
    if (from === to && indices.every((index, i) => index === i)) continue;
    const position = images.order.indexOf(axis);
    value = builder.emit(
      'Gather',
      [value, builder.constant(ndArray('int32', [to], indices))],
      dtypeOf(images),
      value.shape.map((d, p) => (p === position ? to : d)),
      { axis: { int: position } },
    );
  }
  return { value, shape, order: images.order };
});

/** Every element `times` times along both axes of space, whatever their sizes; undefined where they do not grow by whole factors. */
function repeatedPixels(images: TracedArray, size: readonly [number, number], layouts: Layouts): TracedArray | undefined {
  const [n, h, w, c] = images.shape as [number, number, number, number];
  const scales = [1, 1, size[0] / h, size[1] / w];
  if (!scales.every((scale) => Number.isInteger(scale))) return undefined;
  const { builder } = layouts;
  const factors = builder.constant(ndArray('float32', [4], Float32Array.from(scales)));
  const value = builder.emit('Resize', [layouts.dense(images, NCHW), undefined, factors], dtypeOf(images), [n, c, ...size], {
    mode: { string: 'nearest' },
    coordinate_transformation_mode: { string: 'asymmetric' },
    nearest_mode: { string: 'floor' },
  });
  return nhwc(value);
}

/** A_hᵀ · dy · A_w over the last two axes of NCHW. */
function gradient(weights: Weights, dy: TracedArray, images: TracedArray, { attrs, layouts, builder }: KernelContext<Attrs>): TracedArray {
  const [n, h, w, c] = images.shape as [number, number, number, number];
  const [, height, width] = dy.shape as [number, number, number, number];
  const matrix = (size: number, count: number): StaticValue =>
    builder.constant(ndArray('float32', [count, size], weights(size, count, attrs)));
  const columns = builder.emit('MatMul', [layouts.dense(dy, NCHW), matrix(w, width)], 'float32', [n, c, height, w]);
  const rows = layouts.dense(layouts.transpose(plain(matrix(h, height)), [1, 0]));
  return nhwc(builder.emit('MatMul', [rows, columns], 'float32', [n, c, h, w]));
}

type GradientInputs = { images: TracedArray; dy: TracedArray };
kernel<GradientInputs, Attrs>('ResizeBilinearGrad', ({ images, dy }, context) => gradient(bilinearWeights, dy, images, context));
kernel<GradientInputs, Attrs>('ResizeNearestNeighborGrad', ({ images, dy }, context) => gradient(nearestWeights, dy, images, context));
