/** What two-dimensional convolutions and their gradients share in the blocked layout. */
import type { BlockedLayout, ConvWindow } from '../blocked-layout.ts';
import type { StaticValue } from '../graph-builder.ts';
import { NCHW, type Layouts, type TracedArray } from '../traced-array.ts';
import { nhwc, type Geometry } from './convolution-geometry.ts';

/** The blocked layout where the runtime has it and a convolution of these channels, forward or back, is faster in it. */
export function blocksFor(layouts: Layouts, g: Geometry, filter: TracedArray, from: number, to: number): BlockedLayout | undefined {
  const { blocks } = layouts;
  return blocks?.worthwhile(from, to, g.batchSize * g.outHeight * g.outWidth, filter.value) === true ? blocks : undefined;
}

/** The value of x in blocks, or in NCHW where its channels fill none. */
export function entered(x: TracedArray, layouts: Layouts): StaticValue {
  if (x.blocked === true) return x.value;
  const value = layouts.dense(x, NCHW);
  const blocks = layouts.blocks as BlockedLayout;
  return blocks.fits(x.shape[3] as number) ? blocks.enter(value) : value;
}

export const blockedNhwc = (value: StaticValue): TracedArray => ({ ...nhwc(value), blocked: true });

export function windowOf(g: Geometry): ConvWindow {
  const { top, left, bottom, right } = g.padInfo;
  return {
    kernel: [g.filterHeight, g.filterWidth],
    strides: [g.strideHeight, g.strideWidth],
    dilations: [g.dilationHeight, g.dilationWidth],
    pads: [top, left, bottom, right],
  };
}
