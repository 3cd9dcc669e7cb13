/** An image as the patches that a filter sees. */
import { int } from '../graph.ts';
import type { GraphBuilder, StaticValue } from '../graph-builder.ts';
import type { Geometry } from './convolution-geometry.ts';
import { padValue } from './shape.ts';

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
