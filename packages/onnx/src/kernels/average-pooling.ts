/**
 * Average pooling over images and volumes, and its gradient. Padding counts for nothing: each mean is over the elements that are there.
 *
 * The gradient is that of this forward pass. TensorFlow.js's own kernels of cpu and webgl divide by the size of the window at the border too, where
 * fewer elements went into the mean; TensorFlow does not.
 */
import { ndArray } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { ints } from '../graph.ts';
import { kernel, type KernelContext } from '../kernel.ts';
import type { TracedArray } from '../traced-array.ts';
import { endPad } from './convolution-geometry.ts';
import { formula } from './elementwise.ts';
import { paddingAsked } from './padding-asked.ts';

interface Attrs {
  readonly filterSize: number | number[];
  readonly strides: number | number[];
  readonly pad: 'valid' | 'same' | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** Along each axis of space: elements, windows, their size and distance, padding before and after. */
interface Axis {
  readonly size: number;
  readonly count: number;
  readonly window: number;
  readonly stride: number;
  readonly before: number;
  readonly after: number;
}

function axesOf(shape: readonly number[], { filterSize, strides, pad, dimRoundingMode }: Attrs): readonly Axis[] {
  const axis = (size: number, count: number, window: number, stride: number, before: number): Axis => {
    return { size, count, window, stride, before, after: endPad(size, count, stride, window, before) };
  };
  if (shape.length === 5) {
    const i = tf.backend_util.computePool3DInfo(
      shape as [number, number, number, number, number],
      filterSize as 1,
      strides as 1,
      1,
      pad,
      dimRoundingMode,
    );
    return [
      axis(i.inDepth, i.outDepth, i.filterDepth, i.strideDepth, i.padInfo.front),
      axis(i.inHeight, i.outHeight, i.filterHeight, i.strideHeight, i.padInfo.top),
      axis(i.inWidth, i.outWidth, i.filterWidth, i.strideWidth, i.padInfo.left),
    ];
  }
  const i = tf.backend_util.computePool2DInfo(
    shape as [number, number, number, number],
    filterSize as 1,
    strides as 1,
    1,
    pad,
    dimRoundingMode,
  );
  return [
    axis(i.inHeight, i.outHeight, i.filterHeight, i.strideHeight, i.padInfo.top),
    axis(i.inWidth, i.outWidth, i.filterWidth, i.strideWidth, i.padInfo.left),
  ];
}

/** Channels before the axes of space. */
const channelsFirst = (rank: number): readonly number[] => [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];

const attributesOf = (axes: readonly Axis[]) => ({
  kernel_shape: ints(axes.map((a) => a.window)),
  strides: ints(axes.map((a) => a.stride)),
  pads: ints([...axes.map((a) => a.before), ...axes.map((a) => a.after)]),
});

function averagePool(x: TracedArray, { attrs, layouts, builder, refuse }: KernelContext<Attrs>): TracedArray {
  const axes = axesOf(x.shape, attrs);
  if (axes.some((a) => a.before >= a.window || a.after >= a.window)) throw refuse('windows that lie outside of the input');
  const [n, c] = [x.shape[0] as number, x.shape.at(-1) as number];
  const order = channelsFirst(x.shape.length);
  const counts = axes.map((a) => a.count);
  const padding = paddingAsked(
    attrs,
    axes.map(({ stride }) => stride),
  );
  const value = builder.emit('AveragePool', [layouts.dense(x, order)], 'float32', [n, c, ...counts], attributesOf(axes), { padding });
  return { value, shape: [n, ...counts, c], order };
}

/** How many elements each window of an axis covers. */
function covered({ size, count, window, stride, before }: Axis): number[] {
  return Array.from({ length: count }, (_, i) => {
    const start = i * stride - before;
    return Math.min(size, start + window) - Math.max(0, start);
  });
}

/** Each element gets dy/count from every window that covers it: a transposed convolution of one channel with ones. */
function averagePoolGradient(dy: TracedArray, input: TracedArray, { attrs, layouts, builder }: KernelContext<Attrs>): TracedArray {
  const axes = axesOf(input.shape, attrs);
  const rank = input.shape.length;
  const [n, c] = [input.shape[0] as number, input.shape.at(-1) as number];
  const order = channelsFirst(rank);
  const f = formula(layouts);
  const shares = axes.map(covered).reduce<number[]>((all, counts) => all.flatMap((a) => counts.map((b) => a * b)), [1]);
  const shape = [...axes.map((a) => a.count), 1];
  const divisor = shares.every((s) => s === shares[0])
    ? (shares[0] as number)
    : { value: builder.constant(ndArray('float32', shape, Float32Array.from(shares))), shape, order: shape.map((_, i) => i) };
  const share = f('Div', dy, divisor);
  // one window over everything: the same for each element
  if (axes.every((a) => a.count === 1 && covered(a)[0] === a.size)) {
    const value = layouts.dense(share, order);
    return { value, shape: input.shape, order };
  }
  const single = layouts.builder.reshape(layouts.dense(share, order), [n * c, 1, ...axes.map((a) => a.count)]);
  const windowShape = axes.map((a) => a.window);
  const ones = builder.constant(
    ndArray('float32', [1, 1, ...windowShape], new Float32Array(windowShape.reduce((a, b) => a * b, 1)).fill(1)),
  );
  const sizes = axes.map((a) => a.size);
  const spread = builder.emit('ConvTranspose', [single, ones], 'float32', [n * c, 1, ...sizes], {
    ...attributesOf(axes),
    output_padding: ints(axes.map((a) => a.size + a.before + a.after - (a.count - 1) * a.stride - a.window)),
  });
  return { value: layouts.builder.reshape(spread, [n, c, ...sizes]), shape: input.shape, order };
}

for (const name of ['AvgPool', 'AvgPool3D']) {
  kernel<{ x: TracedArray }, Attrs>(name, ({ x }, context) => averagePool(x, context));
  kernel<{ dy: TracedArray; input: TracedArray }, Attrs>(`${name}Grad`, ({ dy, input }, context) =>
    averagePoolGradient(dy, input, context),
  );
}
