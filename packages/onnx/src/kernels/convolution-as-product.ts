/**
 * Convolutions with many outputs over small maps, as one matrix product over the whole batch. Runtimes convolve image by image, and for an
 * 8×8 map a product with 64 columns leaves most of the machine idle: measured 4 times slower than patches and one large product. Everything
 * lies in NHWC, where filters need no transpose, and forward pass and filter gradient share the patches.
 */
import { int } from '../graph.ts';
import type { GraphBuilder, StaticValue } from '../graph-builder.ts';
import { identityOrder, plain, type Layouts, type TracedArray } from '../traced-array.ts';
import type { Geometry } from './convolution-geometry.ts';
import { padValue } from './shape.ts';

/** Positions below and outputs above which the product wins, measured on 2 AVX-512 cores with the layers of a CoDA head. */
const MOST_POSITIONS = 256;
const FEWEST_OUTPUTS = 256;

/**
 * A 1×1 filter over data that lies in NHWC is a product as it stands, whatever the sizes. `data`: what is convolved, or dy. Of a filter that is a constant as
 * it was given (a trained weight) runtimes make a convolution of their own layout, with bias, sum and relu inside: of ResNet-50 that takes half the time
 * of products, at batch 1 and 8. So it stays one.
 */
export function asProduct(g: Geometry, data: TracedArray, { convolutionsAsProducts }: Layouts, constantFilter = false): boolean {
  if (!convolutionsAsProducts) return false;
  const pointwise =
    g.filterHeight * g.filterWidth * g.strideHeight * g.strideWidth === 1 && g.inHeight === g.outHeight && g.inWidth === g.outWidth;
  if (pointwise && data.order.every((axis, i) => axis === i)) return true;
  return !constantFilter && g.outHeight * g.outWidth <= MOST_POSITIONS && g.outChannels >= FEWEST_OUTPUTS;
}

const positions = (g: Geometry): number => g.batchSize * g.outHeight * g.outWidth;
const patchSize = (g: Geometry): number => g.filterHeight * g.filterWidth * g.inChannels;

/** [n·y·x, height·width·in] · [height·width·in, out] */
export function productConv(x: TracedArray, filter: TracedArray, g: Geometry, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  const product = builder.emit(
    'Gemm',
    [patches(x, g, layouts), filterMatrix(filter, g, layouts)],
    'float32',
    [positions(g), g.outChannels],
    {
      transA: int(0),
      transB: int(0),
    },
  );
  return plain(layouts.builder.reshape(product, [g.batchSize, g.outHeight, g.outWidth, g.outChannels]));
}

/** patchesᵀ · dy */
export function productFilterGradient(x: TracedArray, dy: TracedArray, g: Geometry, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  const product = builder.emit('Gemm', [patches(x, g, layouts), upstreamMatrix(dy, g, layouts)], 'float32', [patchSize(g), g.outChannels], {
    transA: int(1),
    transB: int(0),
  });
  return plain(layouts.builder.reshape(product, [g.filterHeight, g.filterWidth, g.inChannels, g.outChannels]));
}

/** dy · filterᵀ gives the gradient of every patch; each of its parts goes back to where it was taken from. Stride 1. */
export function productInputGradient(dy: TracedArray, filter: TracedArray, g: Geometry, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  const product = builder.emit(
    'Gemm',
    [upstreamMatrix(dy, g, layouts), filterMatrix(filter, g, layouts)],
    'float32',
    [positions(g), patchSize(g)],
    {
      transA: int(0),
      transB: int(1),
    },
  );
  const shape = [g.batchSize, g.inHeight, g.inWidth, g.inChannels];
  const parts = filterPositions(g).map(({ row, column }, k) => {
    const part = slice(
      layouts.builder.reshape(product, [g.batchSize, g.outHeight, g.outWidth, patchSize(g)]),
      [3],
      [k * g.inChannels],
      [(k + 1) * g.inChannels],
      builder,
    );
    const top = row - g.padInfo.top;
    const left = column - g.padInfo.left;
    // what lies over the padding is cut by the negative count
    const pads = [
      [0, 0],
      [top, g.inHeight - g.outHeight - top],
      [left, g.inWidth - g.outWidth - left],
      [0, 0],
    ] as const;
    return pads.every(([before, after]) => before === 0 && after === 0) ? part : padValue(part, pads, 0, builder);
  });
  return plain(parts.length === 1 ? (parts[0] as StaticValue) : builder.emit('Sum', parts, 'float32', shape));
}

function filterMatrix(filter: TracedArray, g: Geometry, layouts: Layouts): StaticValue {
  return layouts.builder.reshape(layouts.dense(filter), [patchSize(g), g.outChannels]);
}

function upstreamMatrix(dy: TracedArray, g: Geometry, layouts: Layouts): StaticValue {
  return layouts.builder.reshape(layouts.dense(dy), [positions(g), g.outChannels]);
}

/** Where in the input the filter's rows and columns start. */
function filterPositions(g: Geometry): { row: number; column: number }[] {
  return Array.from({ length: g.filterHeight * g.filterWidth }, (_, k) => ({
    row: Math.floor(k / g.filterWidth) * g.dilationHeight,
    column: (k % g.filterWidth) * g.dilationWidth,
  }));
}

/** [n·y·x, height·width·in] */
function patches(x: TracedArray, g: Geometry, layouts: Layouts): StaticValue {
  const { builder } = layouts;
  const source = layouts.dense(x, identityOrder(4));
  const { top, left, bottom, right } = g.padInfo;
  const padded =
    top + left + bottom + right === 0
      ? source
      : padValue(
          source,
          [
            [0, 0],
            [top, bottom],
            [left, right],
            [0, 0],
          ],
          0,
          builder,
        );
  const parts = filterPositions(g).map(({ row, column }) => {
    const height = (g.outHeight - 1) * g.strideHeight + 1;
    const width = (g.outWidth - 1) * g.strideWidth + 1;
    return slice(padded, [1, 2], [row, column], [row + height, column + width], builder, [g.strideHeight, g.strideWidth]);
  });
  const shape = [g.batchSize, g.outHeight, g.outWidth, patchSize(g)];
  const all = parts.length === 1 ? (parts[0] as StaticValue) : builder.emit('Concat', parts, 'float32', shape, { axis: int(3) });
  return layouts.builder.reshape(all, [positions(g), patchSize(g)]);
}

function slice(
  x: StaticValue,
  axes: readonly number[],
  from: readonly number[],
  to: readonly number[],
  builder: GraphBuilder,
  steps: readonly number[] = axes.map(() => 1),
): StaticValue {
  const shape = x.shape.map((d, axis) => {
    const i = axes.indexOf(axis);
    return i < 0 ? d : Math.ceil(((to[i] as number) - (from[i] as number)) / (steps[i] as number));
  });
  if (shape.every((d, axis) => d === x.shape[axis]) && from.every((f) => f === 0)) return x;
  return builder.emit('Slice', [x, builder.int64(from), builder.int64(to), builder.int64(axes), builder.int64(steps)], x.dtype, shape);
}
