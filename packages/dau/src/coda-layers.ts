/**
 * A stack of convolutional DAU layers: a_l = W_l(a_{l−1}) a_{l−1}, with nothing between them (no activation, norm or bias), so that the whole stack
 * is one input-dependent linear map. arXiv 2109.13004, section 3. Not a network: it has no encoding, readout or loss; `codaNetwork` and hybrids add them.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { CodaError, type ForwardContext, type NamedTensors, type Tap, type WeightSpec } from '@coda-nets/core';
import { dauConv, defaultDauEpsilon, type DauNorm } from './dau-conv.ts';
import { edauBounds, edauConv, isEdauBound, type EdauBound } from './edau-conv.ts';
import { uniformInit } from './uniform-init.ts';

/** The unit of every layer: `sq` and `l2` are DAUs; `frobenius`, `spectral` and `product` are eDAUs (a reconstruction), which have no `b`. */
export type CodaNorm = DauNorm | EdauBound;
/** All of them, the default first. */
export const codaNorms = ['sq', 'l2', ...edauBounds] as const satisfies readonly CodaNorm[];

export interface CodaLayerConfig {
  /** Units, which are the output channels. */
  readonly out: number;
  /** Side of the square kernel. */
  readonly kernel: number;
  /** Default 1. */
  readonly stride?: number;
  /** Zeros on each side; default ⌊kernel / 2⌋. */
  readonly padding?: number;
  /** r: the dimension all units of the layer share. */
  readonly rank: number;
}

export interface CodaLayersConfig {
  /** Channels of what the first layer gets. */
  readonly inputChannels: number;
  readonly layers: readonly CodaLayerConfig[];
  /** Default `sq`. */
  readonly norm?: CodaNorm;
  /** ε of every norm; default 1e-12. */
  readonly eps?: number;
  /** Units of a layer that are computed at once, see `DauConvOptions`; default all. Less memory, the same numbers. */
  readonly unitsAtOnce?: number | undefined;
}

export interface CodaLayers {
  /** `layers.0` … : the output of each layer, all exact; strides count from the stack's input. */
  readonly taps: readonly Tap[];
  /** `layers.0.A`, `layers.0.B`, and of DAUs `layers.0.b`, … */
  readonly weights: Readonly<Record<string, WeightSpec>>;
  readonly outputChannels: number;
  /** x [N, H, W, inputChannels] → [N, H', W', outputChannels]. `prefix` stands before the names of taps and weights: `head.`. */
  forward(weights: NamedTensors, x: tf.Tensor4D, context: ForwardContext, prefix?: string): tf.Tensor4D;
}

export function codaLayers({ inputChannels, layers, norm = 'sq', eps = defaultDauEpsilon, unitsAtOnce }: CodaLayersConfig): CodaLayers {
  const taps: Tap[] = [];
  const weights: Record<string, WeightSpec> = {};
  let channels = inputChannels;
  let tapStride = 1;
  for (const [i, { out, kernel, stride = 1, rank }] of layers.entries()) {
    tapStride *= stride;
    taps.push({ name: `layers.${i}`, channels: out, stride: tapStride, exact: true });
    // U(−1/√fan_in, 1/√fan_in): d for B, r for A and b.
    const patch = [kernel, kernel, channels];
    weights[`layers.${i}.B`] = parameter([...patch, rank], kernel * kernel * channels, true);
    weights[`layers.${i}.A`] = parameter([...patch, out, rank], rank, true);
    if (!isEdauBound(norm)) weights[`layers.${i}.b`] = parameter([...patch, out], rank, false);
    channels = out;
  }
  return {
    taps,
    weights,
    outputChannels: channels,
    forward: (tensors, x, context, prefix = '') => {
      let a = x;
      for (const [i, { kernel, stride = 1, padding = Math.floor(kernel / 2) }] of layers.entries()) {
        const name = `${prefix}layers.${i}`;
        const [A, B] = [weightNamed(tensors, `${name}.A`), weightNamed(tensors, `${name}.B`)];
        const y = isEdauBound(norm)
          ? edauConv(a, { A, B }, { stride, padding, bound: norm, eps })
          : dauConv(
              a,
              { A, B, b: weightNamed(tensors, `${name}.b`) },
              { stride, padding, norm, eps, ...(unitsAtOnce !== undefined && { unitsAtOnce }) },
            );
        a = context.tap(name, y);
      }
      return a;
    },
  };
}

function parameter(shape: readonly number[], fanIn: number, decay: boolean): WeightSpec {
  return { shape, role: 'parameter', decay, init: (random) => uniformInit(random, shape, 1 / Math.sqrt(fanIn)) };
}

function weightNamed(weights: NamedTensors, name: string): tf.Tensor {
  const weight = weights[name];
  if (weight !== undefined) return weight;
  throw new CodaError({ kind: 'mismatch', where: 'codaLayers: weights', problem: `missing ${JSON.stringify(name)}` });
}
