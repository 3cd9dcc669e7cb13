/** Reading at indices that are values, in one axis or several. */
import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '@coda-nets/core';
import { int } from '../graph.ts';
import { kernel } from '../kernel.ts';
import { dtypeOf, identityOrder, plain, type TracedArray } from '../traced-array.ts';

kernel<{ x: TracedArray; indices: TracedArray }, { axis: number; batchDims: number }>(
  'GatherV2',
  ({ x, indices }, { attrs, layouts, builder }) => {
    const [axis] = tf.util.parseAxisParam(attrs.axis, [...x.shape]) as [number];
    const { batchDims } = attrs;
    const shape = [...x.shape.slice(0, axis), ...indices.shape.slice(batchDims), ...x.shape.slice(axis + 1)];
    if (batchDims === 0) {
      return plain(builder.emit('Gather', [layouts.dense(x), layouts.dense(indices)], dtypeOf(x), shape, { axis: int(axis) }));
    }
    // [batch, outer, size, inner] → [batch, size, outer, inner], so that the indices [batch, count] are about the axis behind the batch
    const [batch, outer, inner] = [x.shape.slice(0, batchDims), x.shape.slice(batchDims, axis), x.shape.slice(axis + 1)].map(sizeOf) as [
      number,
      number,
      number,
    ];
    const count = sizeOf(indices.shape.slice(batchDims));
    const source = layouts.transpose(layouts.reshape(x, [batch, outer, x.shape[axis] as number, inner]), [0, 2, 1, 3]);
    const where = builder.cast(layouts.dense(layouts.reshape(indices, [batch, count, 1]), identityOrder(3)), 'int64');
    const operands = [layouts.dense(source), where];
    const picked = builder.emit('GatherND', operands, dtypeOf(x), [batch, count, outer, inner], { batch_dims: int(1) });
    return layouts.reshape(layouts.transpose(plain(picked), [0, 2, 1, 3]), shape);
  },
);

kernel<{ params: TracedArray; indices: TracedArray }>('GatherNd', ({ params, indices }, { layouts, builder }) => {
  const depth = indices.shape.at(-1) as number;
  const shape = [...indices.shape.slice(0, -1), ...params.shape.slice(depth)];
  return plain(builder.emit('GatherND', [layouts.dense(params), builder.cast(layouts.dense(indices), 'int64')], dtypeOf(params), shape));
});
