/**
 * Two-dimensional convolutions and their gradients with respect to the input. Tensors are NHWC as tfjs has them; values lie in NCHW as ONNX wants them, and
 * everything around that can work there leaves them so.
 */
import { ints } from '../graph.ts';
import type { ConvWindow } from '../blocked-layout.ts';
import { kernel } from '../kernel.ts';
import { NCHW, type Layouts, type TracedArray } from '../traced-array.ts';
import { asProduct, productConv, productInputGradient } from './convolution-as-product.ts';
import {
  CHANNELS_LAST,
  convolutionGeometry,
  fromNhwc,
  isChannelsFirst,
  nhwc,
  toNhwc,
  type ConvolutionAttrs,
  type Geometry,
} from './convolution-geometry.ts';
import { blockedNhwc, blocksFor, entered, windowOf } from './convolution-in-blocks.ts';
import { reverseValue } from './shape.ts';

/** [height, width, in, out] → [out, in, height, width] and [in, out, height, width]. */
const OIHW = [3, 2, 0, 1];
const IOHW = [2, 3, 0, 1];

kernel<{ x: TracedArray; filter: TracedArray }, ConvolutionAttrs>(
  'Conv2D',
  ({ x, filter }, { attrs, layouts }) => {
    return fromNhwc(convolution(toNhwc(x, attrs, layouts), filter, attrs, layouts), attrs, layouts);
  },
  { blocked: true },
);

/** Of x [N, H, W, in], whatever the data format of `attrs`. */
export function convolution(x: TracedArray, filter: TracedArray, attrs: ConvolutionAttrs, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  const g = convolutionGeometry(x.shape, filter.shape, attrs);
  if (asProduct(g, x, layouts, builder.isConstant(filter.value))) return productConv(x, filter, g, layouts);
  const { top, left, bottom, right } = g.padInfo;
  const shape = [g.batchSize, g.outChannels, g.outHeight, g.outWidth];
  const blocks = blocksFor(layouts, g, filter, g.inChannels, g.outChannels);
  if (blocks !== undefined) {
    const prepared = blocks.filter(layouts.dense(filter));
    return blockedNhwc(blocks.conv(entered(x, layouts), prepared, windowOf(g), shape));
  }
  const attributes = {
    kernel_shape: ints([g.filterHeight, g.filterWidth]),
    strides: ints([g.strideHeight, g.strideWidth]),
    dilations: ints([g.dilationHeight, g.dilationWidth]),
    pads: ints([top, left, bottom, right]),
  };
  const { padding } = g;
  return nhwc(builder.emit('Conv', [layouts.dense(x, NCHW), layouts.dense(filter, OIHW)], 'float32', shape, attributes, { padding }));
}

kernel<{ dy: TracedArray; filter: TracedArray }, ConvolutionAttrs & { inputShape: number[] }>(
  'Conv2DBackpropInput',
  ({ dy, filter }, { attrs, layouts }) => {
    const inputShape = isChannelsFirst(attrs) ? CHANNELS_LAST.map((axis) => attrs.inputShape[axis] as number) : attrs.inputShape;
    return fromNhwc(
      inputGradient(toNhwc(dy, attrs, layouts), filter, convolutionGeometry(inputShape, filter.shape, attrs), layouts),
      attrs,
      layouts,
    );
  },
  { blocked: true },
);

/** dL/dx: at stride 1 a convolution of dy with the reversed filter, which runs faster than a transposed one. */
function inputGradient(dy: TracedArray, filter: TracedArray, g: Geometry, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  if (asProduct(g, dy, layouts) && g.strideHeight * g.strideWidth === 1) return productInputGradient(dy, filter, g, layouts);
  const { top, left, bottom, right } = g.padInfo;
  const shape = [g.batchSize, g.inChannels, g.inHeight, g.inWidth];
  const spread = [(g.filterHeight - 1) * g.dilationHeight, (g.filterWidth - 1) * g.dilationWidth] as const;
  const kernelShape = ints([g.filterHeight, g.filterWidth]);
  const dilations = ints([g.dilationHeight, g.dilationWidth]);
  const pads = [spread[0] - top, spread[1] - left, spread[0] - bottom, spread[1] - right];
  const direct = g.strideHeight === 1 && g.strideWidth === 1 && pads.every((p) => p >= 0);
  const blocks = direct ? blocksFor(layouts, g, filter, g.outChannels, g.inChannels) : undefined;
  if (blocks !== undefined) {
    const straight = layouts.dense(filter);
    const reversed = g.filterHeight * g.filterWidth === 1 ? straight : reverseValue(straight, [0, 1], builder);
    const window: ConvWindow = { ...windowOf(g), pads: pads as [number, number, number, number] };
    return blockedNhwc(blocks.conv(entered(dy, layouts), blocks.filter(reversed, true), window, shape));
  }
  const upstream = layouts.dense(dy, NCHW);
  if (direct) {
    const straight = layouts.dense(filter, IOHW);
    const reversed = g.filterHeight * g.filterWidth === 1 ? straight : reverseValue(straight, [2, 3], builder);
    return nhwc(
      builder.emit('Conv', [upstream, reversed], 'float32', shape, {
        kernel_shape: kernelShape,
        strides: ints([1, 1]),
        dilations,
        pads: ints(pads),
      }),
    );
  }
  const reach = [(g.outHeight - 1) * g.strideHeight + spread[0] + 1, (g.outWidth - 1) * g.strideWidth + spread[1] + 1] as const;
  return nhwc(
    builder.emit('ConvTranspose', [upstream, layouts.dense(filter, OIHW)], 'float32', shape, {
      kernel_shape: kernelShape,
      strides: ints([g.strideHeight, g.strideWidth]),
      dilations,
      pads: ints([top, left, bottom, right]),
      output_padding: ints([g.inHeight + top + bottom - reach[0], g.inWidth + left + right - reach[1]]),
    }),
  );
}
