/** Convolutions in groups of channels, and their gradients: kernels of `groupedConv2d` in core, whose equation stands there. Filters are [height, width, C/G, D]. */
import { groupedConvKernels, type GroupedConvAttrs } from '@coda-nets/core';
import { int, ints } from '../graph.ts';
import type { StaticValue } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { NCHW, type TracedArray } from '../traced-array.ts';
import { convolutionGeometry, nhwc, type Geometry } from './convolution-geometry.ts';
import { patches } from './patches.ts';

/** [D, C/G, height, width], of a convolution and of the transposed one alike. */
const OIHW = [3, 2, 0, 1];

/** Of a group: TensorFlow.js's own geometry asks for a filter that sees every channel. */
function groupGeometry(x: readonly number[], filter: readonly number[], { groups, strides, pad }: GroupedConvAttrs): Geometry {
  const [n, h, w, c] = x as [number, number, number, number];
  const [kh, kw, , d] = filter as [number, number, number, number];
  return convolutionGeometry([n, h, w, c / groups], [kh, kw, c / groups, d / groups], { strides, pad, dimRoundingMode: 'floor' });
}

const window = (g: Geometry, { groups }: GroupedConvAttrs) => ({
  group: int(groups),
  kernel_shape: ints([g.filterHeight, g.filterWidth]),
  strides: ints([g.strideHeight, g.strideWidth]),
  pads: ints([g.padInfo.top, g.padInfo.left, g.padInfo.bottom, g.padInfo.right]),
});

kernel<{ x: TracedArray; filter: TracedArray }, GroupedConvAttrs>(
  groupedConvKernels.forward,
  ({ x, filter }, { attrs, layouts, builder }) => {
    const g = groupGeometry(x.shape, filter.shape, attrs);
    const shape = [g.batchSize, attrs.groups * g.outChannels, g.outHeight, g.outWidth];
    const operands = [layouts.dense(x, NCHW), layouts.dense(filter, OIHW)];
    return nhwc(builder.emit('Conv', operands, 'float32', shape, window(g, attrs), { padding: g.padding }));
  },
);

kernel<{ dy: TracedArray; filter: TracedArray }, GroupedConvAttrs & { readonly inputShape: readonly number[] }>(
  groupedConvKernels.input,
  ({ dy, filter }, { attrs, layouts, builder }) => {
    const g = groupGeometry(attrs.inputShape, filter.shape, attrs);
    const { top, left, bottom, right } = g.padInfo;
    const reach = [(g.outHeight - 1) * g.strideHeight + g.filterHeight, (g.outWidth - 1) * g.strideWidth + g.filterWidth] as const;
    const shape = [g.batchSize, attrs.groups * g.inChannels, g.inHeight, g.inWidth];
    return nhwc(
      builder.emit('ConvTranspose', [layouts.dense(dy, NCHW), layouts.dense(filter, OIHW)], 'float32', shape, {
        ...window(g, attrs),
        output_padding: ints([g.inHeight + top + bottom - reach[0], g.inWidth + left + right - reach[1]]),
      }),
    );
  },
);

/** Groups of images instead of groups of channels: [N, G·C, H, W] is [N·G, C, H, W], and one product for each of them sums over positions. */
kernel<{ x: TracedArray; dy: TracedArray }, GroupedConvAttrs & { readonly filterShape: readonly number[] }>(
  groupedConvKernels.filter,
  ({ x, dy }, { attrs, layouts, builder }) => {
    const g = groupGeometry(x.shape, attrs.filterShape, attrs);
    const { groups } = attrs;
    const [n, d, inner, outer] = [g.batchSize, g.outChannels, g.outHeight * g.outWidth, g.filterHeight * g.filterWidth * g.inChannels];
    const apart = (value: StaticValue, shape: readonly number[]): StaticValue => layouts.builder.reshape(value, [n * groups, ...shape]);
    const columns = patches(apart(layouts.dense(x, NCHW), [g.inChannels, g.inHeight, g.inWidth]), { ...g, batchSize: n * groups }, builder);
    const upstream = apart(layouts.dense(dy, NCHW), [d, inner]);
    const turned = builder.emit('Transpose', [upstream], 'float32', [n * groups, inner, d], { perm: ints([0, 2, 1]) });
    const products = builder.emit('MatMul', [apart(columns, [outer, inner]), turned], 'float32', [n * groups, outer, d]);
    const byImage = layouts.builder.reshape(products, [n, groups, outer, d]);
    const sum = builder.emit('ReduceSum', [byImage, builder.int64([0])], 'float32', [groups, outer, d], { keepdims: int(0) });
    // [G, height·width·C/G, D/G] → [height, width, C/G, G, D/G]
    const lies: TracedArray = {
      value: layouts.builder.reshape(sum, [groups, g.filterHeight, g.filterWidth, g.inChannels, d]),
      shape: [g.filterHeight, g.filterWidth, g.inChannels, groups, d],
      order: [3, 0, 1, 2, 4],
    };
    return layouts.reshape(lies, attrs.filterShape);
  },
);
