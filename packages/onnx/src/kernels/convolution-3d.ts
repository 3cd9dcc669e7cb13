/** Convolutions over volumes and their gradients. Tensors are NDHWC, values lie in NCDHW; filters are [depth, height, width, in, out]. */
import * as tf from '@tensorflow/tfjs-core';
import { int, ints } from '../graph.ts';
import type { StaticValue } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { plain, type TracedArray } from '../traced-array.ts';
import { endPad } from './convolution-geometry.ts';
import { paddingAsked } from './padding-asked.ts';
import { padValue } from './shape.ts';

const NCDHW = [0, 4, 1, 2, 3];
/** [depth, height, width, in, out] → [out, in, depth, height, width], which a transposed convolution reads as [in, out, …] */
const OIDHW = [4, 3, 0, 1, 2];

type Size5 = [number, number, number, number, number];
interface Attrs {
  readonly strides: number | [number, number, number];
  readonly pad: 'valid' | 'same';
  readonly dilations?: number | [number, number, number];
}

function geometry(input: readonly number[], filter: readonly number[], { strides, dilations = 1, pad }: Attrs) {
  const info = tf.backend_util.computeConv3DInfo(input as Size5, filter as Size5, strides, dilations, pad);
  const size = [info.inDepth, info.inHeight, info.inWidth];
  const count = [info.outDepth, info.outHeight, info.outWidth];
  const stride = [info.strideDepth, info.strideHeight, info.strideWidth];
  const dilation = [info.dilationDepth, info.dilationHeight, info.dilationWidth];
  const kernelShape = filter.slice(0, 3);
  const effective = [info.effectiveFilterDepth, info.effectiveFilterHeight, info.effectiveFilterWidth];
  const before = [info.padInfo.front, info.padInfo.top, info.padInfo.left];
  const at = (numbers: readonly number[], i: number) => numbers[i] as number;
  const after = [0, 1, 2].map((i) => endPad(at(size, i), at(count, i), at(stride, i), at(effective, i), at(before, i)));
  const window = {
    kernel_shape: ints(kernelShape),
    strides: ints(stride),
    dilations: ints(dilation),
    pads: ints([...before, ...after]),
  };
  return {
    batchSize: info.batchSize,
    inChannels: info.inChannels,
    outChannels: info.outChannels,
    size,
    count,
    stride,
    dilation,
    effective,
    before,
    after,
    window,
  };
}

const ndhwc = (value: StaticValue): TracedArray => {
  const [n, c, ...size] = value.shape as Size5;
  return { value, shape: [n, ...size, c], order: NCDHW };
};

kernel<{ x: TracedArray; filter: TracedArray }, Attrs>('Conv3D', ({ x, filter }, { attrs, layouts, builder }) => {
  const g = geometry(x.shape, filter.shape, attrs);
  const operands = [layouts.dense(x, NCDHW), layouts.dense(filter, OIDHW)];
  return ndhwc(
    builder.emit('Conv', operands, 'float32', [g.batchSize, g.outChannels, ...g.count], g.window, {
      padding: paddingAsked(attrs, g.stride),
    }),
  );
});

kernel<{ dy: TracedArray; filter: TracedArray }, Attrs & { inputShape: number[] }>(
  'Conv3DBackpropInputV2',
  ({ dy, filter }, { attrs, layouts, builder }) => {
    const g = geometry(attrs.inputShape, filter.shape, attrs);
    const rest = g.size.map((d, i) => {
      const reach = ((g.count[i] as number) - 1) * (g.stride[i] as number) + (g.effective[i] as number);
      return d + (g.before[i] as number) + (g.after[i] as number) - reach;
    });
    const operands = [layouts.dense(dy, NCDHW), layouts.dense(filter, OIDHW)];
    const attributes = { ...g.window, output_padding: ints(rest) };
    return ndhwc(builder.emit('ConvTranspose', operands, 'float32', [g.batchSize, g.inChannels, ...g.size], attributes));
  },
);

/** For each place of the filter one product: what lies under it at all positions, [positions, in]ᵀ, with dy, [positions, out]. */
kernel<{ x: TracedArray; dy: TracedArray }, Attrs & { filterShape: number[] }>(
  'Conv3DBackpropFilterV2',
  ({ x, dy }, { attrs, layouts, builder }) => {
    const g = geometry(x.shape, attrs.filterShape, attrs);
    const [, height, width] = attrs.filterShape as Size5;
    const pads = [[0, 0], ...g.before.map((count, i) => [count, g.after[i] as number] as const), [0, 0]] as const;
    const source = layouts.dense(x);
    const padded = pads.every(([a, b]) => a + b === 0)
      ? source
      : padValue(source, pads as readonly (readonly [number, number])[], 0, builder);
    const positions = g.batchSize * g.count.reduce((a, b) => a * b, 1);
    const upstream = layouts.builder.reshape(layouts.dense(dy), [positions, g.outChannels]);
    const places = attrs.filterShape.slice(0, 3).reduce((a, b) => a * b, 1);
    const products = Array.from({ length: places }, (_, k) => {
      const place = [Math.floor(k / (height * width)), Math.floor(k / width) % height, k % width];
      const from = place.map((p, i) => p * (g.dilation[i] as number));
      const to = from.map((f, i) => f + ((g.count[i] as number) - 1) * (g.stride[i] as number) + 1);
      const cut = [from, to, [1, 2, 3], g.stride].map((numbers) => builder.int64(numbers));
      const part = builder.emit('Slice', [padded, ...cut], 'float32', [g.batchSize, ...g.count, g.inChannels]);
      const operands = [layouts.builder.reshape(part, [positions, g.inChannels]), upstream];
      return builder.emit('Gemm', operands, 'float32', [g.inChannels, g.outChannels], { transA: int(1), transB: int(0) });
    });
    const all =
      products.length === 1
        ? (products[0] as StaticValue)
        : builder.emit('Concat', products, 'float32', [places * g.inChannels, g.outChannels], { axis: int(0) });
    return plain(layouts.builder.reshape(all, attrs.filterShape));
  },
);
