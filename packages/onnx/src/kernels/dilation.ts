/** Greyscale dilation: the largest of what lies under the filter plus the filter. */
import * as tf from '@tensorflow/tfjs-core';
import { kernel } from '../kernel.ts';
import { plain, type TracedArray } from '../traced-array.ts';
import { endPad } from './convolution-geometry.ts';
import { padValue } from './shape.ts';

/** Padding that is never the largest. */
const LOWEST = -3.4028234663852886e38;

interface Attrs {
  readonly strides: number | [number, number];
  readonly pad: 'valid' | 'same';
  readonly dilations: number | [number, number];
}

kernel<{ x: TracedArray; filter: TracedArray }, Attrs>('Dilation2D', ({ x, filter }, { attrs, layouts, builder }) => {
  const size = [...x.shape] as [number, number, number, number];
  const window = [...filter.shape] as [number, number, number];
  const g = tf.backend_util.computeDilation2DInfo(size, window, attrs.strides, attrs.pad, 'NHWC', attrs.dilations);
  const { top, left } = g.padInfo;
  const bottom = endPad(g.inHeight, g.outHeight, g.strideHeight, g.effectiveFilterHeight, top);
  const right = endPad(g.inWidth, g.outWidth, g.strideWidth, g.effectiveFilterWidth, left);
  const pads = [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ] as const;
  const source = layouts.dense(x);
  const padded = pads.every(([a, b]) => a + b === 0) ? source : padValue(source, pads, LOWEST, builder);
  const [height, width, channels] = window;
  const shape = [g.batchSize, g.outHeight, g.outWidth, channels];
  const values = layouts.dense(filter);
  const sums = Array.from({ length: height * width }, (_, k) => {
    const place = [Math.floor(k / width), k % width] as const;
    const from = [place[0] * g.dilationHeight, place[1] * g.dilationWidth] as const;
    const to = [from[0] + (g.outHeight - 1) * g.strideHeight + 1, from[1] + (g.outWidth - 1) * g.strideWidth + 1];
    const cut = [from, to, [1, 2], [g.strideHeight, g.strideWidth]].map((numbers) => builder.int64(numbers));
    const part = builder.emit('Slice', [padded, ...cut], 'float32', shape);
    const weight = builder.emit(
      'Slice',
      [values, builder.int64(place), builder.int64(place.map((p) => p + 1)), builder.int64([0, 1])],
      'float32',
      [1, 1, channels],
    );
    return builder.emit('Add', [part, weight], 'float32', shape);
  });
  return plain(sums.length === 1 ? (sums[0] as (typeof sums)[number]) : builder.emit('Max', sums, 'float32', shape));
});
