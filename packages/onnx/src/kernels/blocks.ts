/** Blocks of space that become batch or channels, and back: reshapes and one transpose. */
import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '@coda-nets/core';
import { kernel } from '../kernel.ts';
import type { TracedArray } from '../traced-array.ts';
import { padArray, sliceArray } from './shape.ts';

type Unary = { x: TracedArray };

kernel<Unary, { blockShape: number[]; paddings: [number, number][] }>('SpaceToBatchND', ({ x }, { attrs, layouts }) => {
  const { blockShape, paddings } = attrs;
  const product = sizeOf(blockShape);
  const rest = x.shape.length - 1 - blockShape.length;
  const padded = padArray(x, [[0, 0], ...paddings, ...Array<[number, number]>(rest).fill([0, 0])], 0, layouts);
  const shape = [...padded.shape];
  const split = layouts.reshape(padded, tf.backend_util.getReshaped(shape, blockShape, product, false));
  const moved = layouts.transpose(split, tf.backend_util.getPermuted(split.shape.length, blockShape.length, false));
  return layouts.reshape(moved, tf.backend_util.getReshapedPermuted(shape, blockShape, product, false));
});

kernel<Unary, { blockShape: number[]; crops: number[][] }>('BatchToSpaceND', ({ x }, { attrs, layouts, builder }) => {
  const { blockShape, crops } = attrs;
  const product = sizeOf(blockShape);
  const shape = [...x.shape];
  const split = layouts.reshape(x, tf.backend_util.getReshaped(shape, blockShape, product));
  const moved = layouts.transpose(split, tf.backend_util.getPermuted(split.shape.length, blockShape.length));
  const whole = layouts.reshape(moved, tf.backend_util.getReshapedPermuted(shape, blockShape, product));
  const begin = tf.backend_util.getSliceBeginCoords(crops, blockShape.length);
  const size = tf.backend_util.getSliceSize([...whole.shape], crops, blockShape.length);
  // the batch and what lies behind the blocks stay whole
  const full = whole.shape.map((d, i) => size[i] ?? d);
  return sliceArray(
    whole,
    whole.shape.map((_, i) => begin[i] ?? 0),
    full,
    builder,
  );
});

/** [N, H, W, b·b·C] → [N, H·b, W·b, C] */
kernel<Unary, { blockSize: number; dataFormat: 'NHWC' | 'NCHW' }>('DepthToSpace', ({ x }, { attrs, layouts, refuse }) => {
  const { blockSize: b, dataFormat } = attrs;
  if (dataFormat !== 'NHWC') throw refuse('a data format', { expected: 'NHWC', got: dataFormat });
  const [n, h, w, depth] = x.shape as [number, number, number, number];
  const c = depth / (b * b);
  const moved = layouts.transpose(layouts.reshape(x, [n, h, w, b, b, c]), [0, 1, 3, 2, 4, 5]);
  return layouts.reshape(moved, [n, h * b, w * b, c]);
});
