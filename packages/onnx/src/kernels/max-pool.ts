/**
 * Two-dimensional max pooling and its gradient, which goes to the first largest element of each window in the order of its rows, as on tfjs's
 * cpu backend (and in PyTorch). Tensors are NHWC as tfjs has them; values lie in NCHW as ONNX wants them.
 */
import { CodaError, ndArray } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { int, ints } from '../graph.ts';
import type { GraphBuilder, StaticValue } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { NCHW, type TracedArray } from '../traced-array.ts';
import { nhwc } from './convolution-geometry.ts';

import { paddingAsked, type PaddingAttrs } from './padding-asked.ts';
import { padValue } from './shape.ts';

interface Attrs {
  readonly filterSize: number | [number, number];
  readonly strides: number | [number, number];
  readonly pad: number | 'valid' | 'same' | tf.backend_util.ExplicitPadding;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

function geometry(shape: readonly number[], { filterSize, strides, pad, dimRoundingMode }: Attrs) {
  const g = tf.backend_util.computePool2DInfo(shape as [number, number, number, number], filterSize, strides, 1, pad, dimRoundingMode);
  const { top, left } = g.padInfo;
  // How far the last window reaches beyond the image, which rounding may make more or less than the padding asked for.
  const bottom = (g.outHeight - 1) * g.strideHeight + g.filterHeight - g.inHeight - top;
  const right = (g.outWidth - 1) * g.strideWidth + g.filterWidth - g.inWidth - left;
  return { ...g, pads: { top, left, bottom, right } };
}
type Geometry = ReturnType<typeof geometry>;

kernel<{ x: TracedArray }, Attrs>('MaxPool', ({ x }, { attrs, layouts, builder, refuse }) => {
  const g = geometry(x.shape, attrs);
  const { top, left, bottom, right } = g.pads;
  const shape = [g.batchSize, g.outChannels, g.outHeight, g.outWidth];
  // a window that lies in the padding alone has no largest element
  if (Math.max(top, bottom) >= g.filterHeight || Math.max(left, right) >= g.filterWidth) {
    throw refuse('padding as large as the window', { expected: 'less than the window', got: `${top}, ${left}, ${bottom}, ${right}` });
  }
  const attributes = {
    kernel_shape: ints([g.filterHeight, g.filterWidth]),
    strides: ints([g.strideHeight, g.strideWidth]),
    pads: ints([top, left, Math.max(0, bottom), Math.max(0, right)]),
  };
  const padding = paddingAsked(attrs as PaddingAttrs, [g.strideHeight, g.strideWidth]);
  return nhwc(builder.emit('MaxPool', [layouts.dense(x, NCHW)], 'float32', shape, attributes, { padding }));
});

/**
 * dL/dx[p] = Σ over windows w and places k of w with p = w·stride + k, of dy[w] where k is the first largest place of w, else 0. The windows lie beside
 * each other as [N, C, K, H', W']; a transposed convolution whose kernel has a single 1 for each place brings every part back to where it was.
 */
kernel<{ dy: TracedArray; input: TracedArray; output: TracedArray }, Attrs>('MaxPoolGrad', ({ dy, input }, { attrs, layouts, builder }) => {
  const g = geometry(input.shape, attrs);
  if (dy.shape[1] !== g.outHeight || dy.shape[2] !== g.outWidth) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'trace: MaxPoolGrad',
      problem: 'TensorFlow.js does not keep the rounding mode of a max pool for its gradient',
      expected: `a gradient of ${g.outHeight} × ${g.outWidth}`,
      got: `${dy.shape[1]} × ${dy.shape[2]}`,
    });
  }
  const { batchSize: n, inChannels: c, outHeight: h, outWidth: w } = g;
  const places = g.filterHeight * g.filterWidth;
  const split = [n, c, places, h, w];
  const first = builder.emit('ArgMax', [windows(layouts.dense(input, NCHW), g, builder)], 'int64', [n, c, 1, h, w], {
    axis: int(2),
    keepdims: int(1),
    select_last_index: int(0),
  });
  const place = builder.constant(
    ndArray(
      'int64',
      [1, 1, places, 1, 1],
      BigInt64Array.from({ length: places }, (_, k) => BigInt(k)),
    ),
  );
  const hit = builder.cast(builder.emit('Equal', [first, place], 'bool', split), 'float32');
  const upstream = layouts.builder.reshape(layouts.dense(dy, NCHW), [n, c, 1, h, w]);
  const parts = builder.emit('Mul', [hit, upstream], 'float32', split);
  const { top, left, bottom, right } = g.pads;
  const value = builder.emit(
    'ConvTranspose',
    [layouts.builder.reshape(parts, [n, c * places, h, w]), ones(c, g, builder)],
    'float32',
    [n, c, g.inHeight, g.inWidth],
    {
      kernel_shape: ints([g.filterHeight, g.filterWidth]),
      strides: ints([g.strideHeight, g.strideWidth]),
      group: int(c),
      // What no window reaches gets a 0.
      pads: ints([top, left, Math.max(0, bottom), Math.max(0, right)]),
      output_padding: ints([Math.max(0, -bottom), Math.max(0, -right)]),
    },
  );
  return nhwc(value);
});

/** Every place of every window of x [N, C, H, W]: [N, C, height·width, H', W']; −∞ around the image. */
function windows(x: StaticValue, g: Geometry, builder: GraphBuilder): StaticValue {
  const { top, left, bottom, right } = g.pads;
  const sides = [top, left, bottom, right].map((side) => Math.max(0, side)) as [number, number, number, number];
  const padded =
    sides[0] + sides[1] + sides[2] + sides[3] === 0
      ? x
      : padValue(
          x,
          [
            [0, 0],
            [0, 0],
            [sides[0], sides[2]],
            [sides[1], sides[3]],
          ],
          -Infinity,
          builder,
        );
  const { batchSize: n, inChannels: c, outHeight: h, outWidth: w } = g;
  const steps = builder.int64([g.strideHeight, g.strideWidth]);
  const cuts = Array.from({ length: g.filterHeight * g.filterWidth }, (_, k) => {
    const from = [Math.floor(k / g.filterWidth), k % g.filterWidth] as const;
    const to = [from[0] + (h - 1) * g.strideHeight + 1, from[1] + (w - 1) * g.strideWidth + 1];
    const cut = builder.emit('Slice', [padded, builder.int64(from), builder.int64(to), builder.int64([2, 3]), steps], 'float32', [
      n,
      c,
      h,
      w,
    ]);
    return builder.reshape(cut, [n, c, 1, h, w]);
  });
  return cuts.length === 1
    ? (cuts[0] as StaticValue)
    : builder.emit('Concat', cuts, 'float32', [n, c, cuts.length, h, w], { axis: int(2) });
}

/** [C·K, 1, height, width] with a 1 at place k of the kernels c·K + k. */
function ones(channels: number, g: Geometry, builder: GraphBuilder): StaticValue {
  const places = g.filterHeight * g.filterWidth;
  const data = new Float32Array(channels * places * places);
  for (let i = 0; i < channels * places; i++) data[i * places + (i % places)] = 1;
  return builder.constant(ndArray('float32', [channels * places, 1, g.filterHeight, g.filterWidth], data));
}
