/** Convolutions that keep channels apart, and their gradients. Filters are [height, width, in, multiplier]; output channel c·multiplier + m is of input channel c. */
import { int, ints } from '../graph.ts';
import type { StaticValue } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { NCHW, plain, type Layouts, type TracedArray } from '../traced-array.ts';
import { convolutionGeometry, fromNhwc, nhwc, toNhwc, type ConvolutionAttrs, type Geometry } from './convolution-geometry.ts';
import { padValue } from './shape.ts';

/** [in·multiplier, 1, height, width] */
function filterValue(filter: TracedArray, g: Geometry, layouts: Layouts): StaticValue {
  return layouts.builder.reshape(layouts.dense(filter, [2, 3, 0, 1]), [g.outChannels, 1, g.filterHeight, g.filterWidth]);
}

const window = (g: Geometry) => ({
  group: int(g.inChannels),
  kernel_shape: ints([g.filterHeight, g.filterWidth]),
  strides: ints([g.strideHeight, g.strideWidth]),
  dilations: ints([g.dilationHeight, g.dilationWidth]),
  pads: ints([g.padInfo.top, g.padInfo.left, g.padInfo.bottom, g.padInfo.right]),
});

/** Of x [N, H, W, in], whatever the data format of `attrs`. */
export function depthwiseConvolution(x: TracedArray, filter: TracedArray, attrs: ConvolutionAttrs, layouts: Layouts): TracedArray {
  const g = convolutionGeometry(x.shape, filter.shape, attrs, true);
  const shape = [g.batchSize, g.outChannels, g.outHeight, g.outWidth];
  const operands = [layouts.dense(x, NCHW), filterValue(filter, g, layouts)];
  return nhwc(layouts.builder.emit('Conv', operands, 'float32', shape, window(g), { padding: g.padding }));
}

kernel<{ x: TracedArray; filter: TracedArray }, ConvolutionAttrs>('DepthwiseConv2dNative', ({ x, filter }, { attrs, layouts }) => {
  return fromNhwc(depthwiseConvolution(toNhwc(x, attrs, layouts), filter, attrs, layouts), attrs, layouts);
});

kernel<{ dy: TracedArray; filter: TracedArray }, ConvolutionAttrs & { inputShape: number[] }>(
  'DepthwiseConv2dNativeBackpropInput',
  ({ dy, filter }, { attrs, layouts, builder }) => {
    const g = convolutionGeometry(attrs.inputShape, filter.shape, attrs, true);
    const { top, left, bottom, right } = g.padInfo;
    const reach = [
      (g.outHeight - 1) * g.strideHeight + g.effectiveFilterHeight,
      (g.outWidth - 1) * g.strideWidth + g.effectiveFilterWidth,
    ] as const;
    const shape = [g.batchSize, g.inChannels, g.inHeight, g.inWidth];
    return nhwc(
      builder.emit('ConvTranspose', [layouts.dense(dy, NCHW), filterValue(filter, g, layouts)], 'float32', shape, {
        ...window(g),
        output_padding: ints([g.inHeight + top + bottom - reach[0], g.inWidth + left + right - reach[1]]),
      }),
    );
  },
);

/** dL/dfilter[i, j, c, m] = Σ_{n, y, x} input[n, y·s + i − top, x·s + j − left, c] · dy[n, y, x, c·multiplier + m] */
kernel<{ x: TracedArray; dy: TracedArray }, ConvolutionAttrs & { filterShape: number[] }>(
  'DepthwiseConv2dNativeBackpropFilter',
  ({ x, dy }, { attrs, layouts, builder }) => {
    const g = convolutionGeometry(x.shape, attrs.filterShape, attrs, true);
    const { top, left, bottom, right } = g.padInfo;
    const [n, c, multiplier] = [g.batchSize, g.inChannels, g.outChannels / g.inChannels];
    const input = layouts.dense(x, NCHW);
    const pads = [
      [0, 0],
      [0, 0],
      [top, bottom],
      [left, right],
    ] as const;
    const padded = top + left + bottom + right === 0 ? input : padValue(input, pads, 0, builder);
    const upstream = layouts.builder.reshape(layouts.dense(dy, NCHW), [n, c, multiplier, g.outHeight, g.outWidth]);
    const steps = builder.int64([g.strideHeight, g.strideWidth]);
    const sums = Array.from({ length: g.filterHeight * g.filterWidth }, (_, k) => {
      const from = [Math.floor(k / g.filterWidth) * g.dilationHeight, (k % g.filterWidth) * g.dilationWidth] as const;
      const to = [from[0] + (g.outHeight - 1) * g.strideHeight + 1, from[1] + (g.outWidth - 1) * g.strideWidth + 1];
      const cut = [builder.int64(from), builder.int64(to), builder.int64([2, 3]), steps];
      const part = builder.emit('Slice', [padded, ...cut], 'float32', [n, c, g.outHeight, g.outWidth]);
      const product = builder.emit('Mul', [layouts.builder.reshape(part, [n, c, 1, g.outHeight, g.outWidth]), upstream], 'float32', [
        n,
        c,
        multiplier,
        g.outHeight,
        g.outWidth,
      ]);
      return builder.emit('ReduceSum', [product, builder.int64([0, 3, 4])], 'float32', [1, c, multiplier, 1, 1], { keepdims: int(1) });
    });
    const all =
      sums.length === 1
        ? (sums[0] as StaticValue)
        : builder.emit('Concat', sums, 'float32', [sums.length, c, multiplier, 1, 1], { axis: int(0) });
    return plain(layouts.builder.reshape(all, [g.filterHeight, g.filterWidth, c, multiplier]));
  },
);
