/** The gradient of a two-dimensional convolution with respect to its filter. */
import { int, ints } from '../graph.ts';
import type { BlockedLayout } from '../blocked-layout.ts';
import type { GraphBuilder, StaticValue } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { NCHW, type Layouts, type TracedArray } from '../traced-array.ts';
import { asProduct, productFilterGradient } from './convolution-as-product.ts';
import { convolutionGeometry, toNhwc, type ConvolutionAttrs, type Geometry } from './convolution-geometry.ts';
import { entered, windowOf } from './convolution-in-blocks.ts';
import { patches } from './patches.ts';
import { padValue } from './shape.ts';

/**
 * dL/dfilter[i, j] = Σ_{n, y, x} input[n, y·s + i − top, x·s + j − left] · dy[n, y, x]: one product of shifted copies.
 *
 * All shifts of the input against dy need height·width copies of the input. At stride 1 a shift splits in two: shifting the input by j along
 * the width and dy by −i along the height gives the same pairs from width copies of one and height copies of the other, in a squarer product.
 * Whichever copies less is taken.
 */
kernel<{ x: TracedArray; dy: TracedArray }, ConvolutionAttrs & { filterShape: number[] }>(
  'Conv2DBackpropFilter',
  (inputs, { attrs, layouts, builder }) => {
    const [x, dy] = [toNhwc(inputs.x, attrs, layouts), toNhwc(inputs.dy, attrs, layouts)];
    const g = convolutionGeometry(x.shape, attrs.filterShape, attrs);
    if (asProduct(g, dy, layouts)) return productFilterGradient(x, dy, g, layouts);
    const { blocks } = layouts;
    if (blocks !== undefined && blockedFilterGradient(blocks, g)) {
      const value = blocks.filterGradient(reachOf(x, g, layouts), entered(dy, layouts), windowOf(g));
      return { value, shape: attrs.filterShape, order: [2, 3, 0, 1] };
    }
    const input = layouts.dense(x, NCHW);
    const upstream = layouts.dense(dy, NCHW);
    const { filterHeight: kh, filterWidth: kw, inChannels: ci, outChannels: co } = g;
    const sameSize = g.inHeight === g.outHeight && g.inWidth === g.outWidth;
    const separable = sameSize && g.strideHeight === 1 && g.strideWidth === 1 && g.dilationHeight === 1 && g.dilationWidth === 1;
    if (separable && kw * ci + kh * co < kh * kw * ci) {
      const left = shifted(
        input,
        kw,
        (j) => [
          [0, 0],
          [g.padInfo.left - j, j - g.padInfo.left],
        ],
        builder,
      );
      const right = shifted(
        upstream,
        kh,
        (i) => [
          [i - g.padInfo.top, g.padInfo.top - i],
          [0, 0],
        ],
        builder,
      );
      // [j, in, i, out] → [i, j, in, out]
      const product = summedProduct(left, right, builder);
      const split = layouts.builder.reshape(product, [kw, ci, kh, co]);
      return { value: split, shape: attrs.filterShape, order: [1, 2, 0, 3] };
    }
    const product = summedProduct(patches(input, g, builder), upstream, builder);
    return { value: layouts.builder.reshape(product, [kh, kw, ci, co]), shape: attrs.filterShape, order: [0, 1, 2, 3] };
  },
  { blocked: true },
);

/** One position of the filter makes a matrix product, which needs no images in the place of channels. */
const blockedFilterGradient = (blocks: BlockedLayout, g: Geometry): boolean =>
  blocks.fits(g.batchSize) && blocks.fits(g.outChannels) && g.filterHeight * g.filterWidth > 1;

/** All of x [N, H, W, C] that the filter sees, with zeros where it reaches beyond: [N, C, H″, W″]. */
function reachOf(x: TracedArray, g: Geometry, layouts: Layouts): StaticValue {
  const { top, left } = g.padInfo;
  const height = (g.outHeight - 1) * g.strideHeight + (g.filterHeight - 1) * g.dilationHeight + 1;
  const width = (g.outWidth - 1) * g.strideWidth + (g.filterWidth - 1) * g.dilationWidth + 1;
  const pads = [
    [0, 0],
    [0, 0],
    [top, height - top - g.inHeight],
    [left, width - left - g.inWidth],
  ] as const;
  const value = layouts.dense(x, NCHW);
  return pads.every(([before, after]) => before === 0 && after === 0) ? value : padValue(value, pads, 0, layouts.builder);
}

type Pads = readonly [readonly [number, number], readonly [number, number]];

/** `count` copies of x [N, C, H, W] along C, each moved over its own zeros. */
function shifted(x: StaticValue, count: number, pads: (copy: number) => Pads, builder: GraphBuilder): StaticValue {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const copies = Array.from({ length: count }, (_, i) => {
    const [vertical, horizontal] = pads(i);
    if (vertical[0] === 0 && horizontal[0] === 0) return x;
    if (horizontal[0] !== 0) return padValue(x, [[0, 0], [0, 0], vertical, horizontal], 0, builder);
    // a vertical move alone is one long copy a channel rather than one a row
    const rows = builder.reshape(x, [n, c, h * w]);
    const moved = padValue(
      rows,
      [
        [0, 0],
        [0, 0],
        [vertical[0] * w, vertical[1] * w],
      ],
      0,
      builder,
    );
    return builder.reshape(moved, [n, c, h, w]);
  });
  return count === 1 ? (copies[0] as StaticValue) : builder.emit('Concat', copies, 'float32', [n, count * c, h, w], { axis: int(1) });
}

/**
 * Σ_{n, p} a[n, i, p] · b[n, j, p] of a [N, I, H, W] and b [N, J, H, W]: [I, J]. Either image by image and summed, which writes N·I·J numbers, or as one
 * product after bringing n and p together, which moves both operands; whichever touches less.
 */
function summedProduct(a: StaticValue, b: StaticValue, builder: GraphBuilder): StaticValue {
  const [n, rows, height, width] = a.shape as [number, number, number, number];
  const columns = b.shape[1] as number;
  const inner = height * width;
  const [left, right] = [builder.reshape(a, [n, rows, inner]), builder.reshape(b, [n, columns, inner])];
  if (rows * columns > 2 * inner * (rows + columns)) {
    const together = (x: StaticValue, channels: number): StaticValue => {
      const moved = builder.emit('Transpose', [x], 'float32', [channels, n, inner], { perm: ints([1, 0, 2]) });
      return builder.reshape(moved, [channels, n * inner]);
    };
    const operands = [together(left, rows), together(right, columns)];
    return builder.emit('Gemm', operands, 'float32', [rows, columns], { transA: int(0), transB: int(1) });
  }
  const turned = builder.emit('Transpose', [right], 'float32', [n, inner, columns], { perm: ints([0, 2, 1]) });
  const products = builder.emit('MatMul', [left, turned], 'float32', [n, rows, columns]);
  return builder.emit('ReduceSum', [products, builder.int64([0])], 'float32', [rows, columns], { keepdims: int(0) });
}
