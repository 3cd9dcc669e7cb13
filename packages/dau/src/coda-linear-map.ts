/**
 * The linear map of a stack of DAU layers and its sum pooling, z − b₀ = (1/T)·Σ_positions W_L ⋯ W_1 a_0, out of the layers' own (`dau-map.ts`).
 * arXiv 2109.13004, section 3. What core's `linearMap` is made from; checks nothing by itself.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { DynamicLinear, NamedTensors } from '@coda-nets/core';
import type { CodaLayersConfig } from './coda-layers.ts';
import { defaultDauEpsilon, type DauConvOptions, type DauWeights } from './dau-conv.ts';
import { isEdauBound } from './edau-conv.ts';
import { dauAlignment, dauMap, dauMapTransposed } from './dau-map.ts';
import { sumPoolLogits } from './readout.ts';

export interface CodaLinearMapOptions extends Pick<CodaLayersConfig, 'layers' | 'norm' | 'eps'> {
  readonly temperature: number;
  /** The tap the first layer gets its input from. */
  readonly input: string;
  /** Layer i's tap is `<prefix>i`, its weights `<prefix>i.A`, `.B` and `.b`. Default `layers.`. */
  readonly prefix?: string;
}

interface Layer {
  readonly name: string;
  /** The tap of its input. */
  readonly below: string;
  readonly options: DauConvOptions;
}

/** Undefined for an eDAU's bound as the norm: the map of those is not written out. */
export function codaLinearMap({
  layers,
  norm = 'sq',
  eps = defaultDauEpsilon,
  temperature,
  input,
  prefix = 'layers.',
}: CodaLinearMapOptions): DynamicLinear | undefined {
  if (isEdauBound(norm)) return undefined;
  const stack = layers.map(({ kernel, stride = 1, padding = Math.floor(kernel / 2) }, i): Layer => {
    const below = i === 0 ? input : `${prefix}${i - 1}`;
    return { name: `${prefix}${i}`, below, options: { stride, padding, norm, eps } };
  });
  const taps = [input, ...stack.map(({ name }) => name)];
  const last = taps.at(-1) as string;
  const at = (activations: NamedTensors, name: string): tf.Tensor4D => activations[name] as tf.Tensor4D;
  const between = (from: string, to = last): readonly Layer[] => stack.slice(taps.indexOf(from), taps.indexOf(to));
  return {
    taps,
    apply(weights, activations, vectors, from, to) {
      let v = vectors;
      for (const { name, below, options } of between(from, to)) {
        v = dauMap(at(activations, below), v, weightsOf(weights, name), options);
      }
      return to === undefined ? sumPoolLogits(v, temperature, 0) : v;
    },
    applyTransposed(weights, activations, cotangents, from, to) {
      let y = cotangents as tf.Tensor4D;
      if (to === undefined) {
        const [count, classes] = cotangents.shape as [number, number];
        const [, h, w] = at(activations, last).shape;
        // every position of a class gets what its sum gets
        y = tf.mul(tf.reshape(tf.div(cotangents, temperature), [count, 1, 1, classes]), tf.ones([1, h, w, 1]));
      }
      for (const { name, below, options } of between(from, to).toReversed()) {
        y = dauMapTransposed(at(activations, below), y, weightsOf(weights, name), options);
      }
      return y;
    },
    alignment: (weights, activations) =>
      Object.fromEntries(
        stack.map(({ name, below, options }) => [
          name,
          dauAlignment(at(activations, below), weightsOf(weights, name), options),
        ]),
      ),
  };
}

/** The forward pass that gave the activations has had them all. */
function weightsOf(weights: NamedTensors, name: string): DauWeights {
  const get = (part: string): tf.Tensor => weights[`${name}.${part}`] as tf.Tensor;
  return { A: get('A'), B: get('B'), b: get('b') };
}
