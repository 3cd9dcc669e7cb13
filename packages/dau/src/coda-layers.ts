/**
 * A stack of convolutional DAU layers: a_l = W_l(a_{l−1}) a_{l−1}, with nothing between them (no activation, norm or bias), so that the whole stack
 * is one input-dependent linear map. arXiv 2109.13004, section 3. Not a network: it has no encoding, readout or loss; `codaNetwork` and hybrids add them.
 */
import type * as tf from '@tensorflow/tfjs-core';
import * as v from 'valibot';
import { CodaError, parseConfig, type ForwardContext, type NamedTensors, type Tap, type WeightSpec } from '@coda-nets/core';
import { count, maxChannels, stackEntries, unitKindOf, type CodaNorm } from './coda-layer-schema.ts';
import { checkUnitsAtOnce, dauConv } from './dau-conv.ts';
import { edauConv, isEdauBound } from './edau-conv.ts';
import { uniformInit } from './uniform-init.ts';
import { checkEpsilon } from './unit-epsilon.ts';

export interface CodaLayerConfig {
  /** Units, which are the output channels. */
  readonly out: number;
  /** Side of the square kernel. */
  readonly kernel: number;
  /** Default 1. */
  readonly stride?: number;
  /** Zeros on each side, at most as many as the kernel is wide; default ⌊kernel / 2⌋. */
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
  /** Layer i's tap is `<prefix>i`, its weights `<prefix>i.A`, `.B` and `.b`. Default `layers.`. */
  readonly prefix?: string;
  /** Units of a layer that are computed at once, see `DauConvOptions`; default all. Less memory, the same numbers. DAUs alone. */
  readonly unitsAtOnce?: number | undefined;
}

export interface CodaLayers {
  /** `layers.0` … : the output of each layer, all exact; strides count from the stack's input. */
  readonly taps: readonly Tap[];
  /** `layers.0.A`, `layers.0.B`, and of DAUs `layers.0.b`, …, the default prefix given. */
  readonly weights: Readonly<Record<string, WeightSpec>>;
  readonly outputChannels: number;
  /** x [N, H, W, inputChannels] → [N, H', W', outputChannels]. */
  forward(weights: NamedTensors, x: tf.Tensor4D, context: ForwardContext): tf.Tensor4D;
}

const schema = v.strictObject({ inputChannels: count(maxChannels), ...stackEntries, unitsAtOnce: v.optional(v.unknown()) });

/** Throws a CodaError that names what is wrong in the config. */
export function codaLayers(config: CodaLayersConfig): CodaLayers {
  const { inputChannels, layers, norm, eps, prefix, unitsAtOnce } = parseConfig(schema, config, 'codaLayers');
  checkEpsilon('codaLayers: eps', eps, unitKindOf(norm));
  if (unitsAtOnce !== undefined) checkUnitsAtOnce('codaLayers', unitsAtOnce);
  if (unitsAtOnce !== undefined && isEdauBound(norm)) {
    const problem = `units of the norm ${norm} are computed all at once`;
    throw new CodaError({ kind: 'unsupported', where: 'codaLayers: unitsAtOnce', problem, expected: 'sq or l2, or no unitsAtOnce' });
  }
  const taps: Tap[] = [];
  const weights: Record<string, WeightSpec> = {};
  let channels = inputChannels;
  let tapStride = 1;
  for (const [i, { out, kernel, stride, rank }] of layers.entries()) {
    const name = `${prefix}${i}`;
    tapStride *= stride;
    taps.push({ name, channels: out, stride: tapStride, exact: true });
    // U(−1/√fan_in, 1/√fan_in): d for B, r for A and b.
    const patch = [kernel, kernel, channels];
    weights[`${name}.B`] = parameter([...patch, rank], kernel * kernel * channels, true);
    weights[`${name}.A`] = { ...parameter([...patch, out, rank], rank, true), unitAxis: patch.length };
    if (!isEdauBound(norm)) weights[`${name}.b`] = parameter([...patch, out], rank, false);
    channels = out;
  }
  return {
    taps,
    weights,
    outputChannels: channels,
    forward: (tensors, x, context) => {
      let a = x;
      for (const [i, { stride, padding }] of layers.entries()) {
        const name = `${prefix}${i}`;
        const [A, B] = [weightNamed(tensors, `${name}.A`), weightNamed(tensors, `${name}.B`)];
        const y = isEdauBound(norm)
          ? edauConv(a, { A, B }, { stride, padding, bound: norm, eps })
          : dauConv(
              a,
              { A, B, b: weightNamed(tensors, `${name}.b`) },
              { stride, padding, norm, eps, ...(unitsAtOnce !== undefined && { unitsAtOnce: unitsAtOnce as number }) },
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
