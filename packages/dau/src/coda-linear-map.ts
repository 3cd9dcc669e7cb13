/**
 * The linear map of a stack of DAU layers and its sum pooling, z − b₀ = (1/T)·Σ_positions W_L ⋯ W_1 a_0, out of the layers' own (`dau-map.ts`, `edau-map.ts`).
 * arXiv 2109.13004, section 3. What core's `linearMap` is made from; its functions check nothing by themselves.
 */
import * as tf from '@tensorflow/tfjs-core';
import { parseConfig, type DynamicLinear, type Locality, type NamedTensors, type UnitAlignment } from '@coda-nets/core';
import * as v from 'valibot';
import { stackEntries, unitKindOf } from './coda-layer-schema.ts';
import type { CodaLayersConfig } from './coda-layers.ts';
import type { DauWeights } from './dau-conv.ts';
import { isEdauBound, type EdauWeights } from './edau-conv.ts';
import { dauAlignment, dauMap, dauMapTransposed } from './dau-map.ts';
import { edauAlignment, edauMap, edauMapTransposed } from './edau-map.ts';
import { sumPoolScores, temperatureSchema } from './readout.ts';
import { checkEpsilon } from './unit-epsilon.ts';

export interface CodaLinearMapOptions extends Pick<CodaLayersConfig, 'layers' | 'norm' | 'eps' | 'prefix'> {
  readonly temperature: number;
  /** The tap the first layer gets its input from. */
  readonly input: string;
}

const schema = v.strictObject({ ...stackEntries, temperature: temperatureSchema, input: v.string() });

/** A layer's own map; `weights` are the network's. */
interface Layer {
  readonly name: string;
  /** The tap of its input. */
  readonly below: string;
  apply(x: tf.Tensor4D, vectors: tf.Tensor4D, weights: NamedTensors): tf.Tensor4D;
  applyTransposed(x: tf.Tensor4D, cotangents: tf.Tensor4D, weights: NamedTensors): tf.Tensor4D;
  alignment(x: tf.Tensor4D, weights: NamedTensors): UnitAlignment;
}

/** Throws a CodaError that names what is wrong in the options. */
export function codaLinearMap(options: CodaLinearMapOptions): DynamicLinear {
  const { layers, norm, eps, temperature, input, prefix } = parseConfig(schema, options, 'codaLinearMap');
  checkEpsilon('codaLinearMap: eps', eps, unitKindOf(norm));
  const stack = layers.map(({ stride, padding }, i): Layer => {
    const name = `${prefix}${i}`;
    const below = i === 0 ? input : `${prefix}${i - 1}`;
    // The forward pass that gave the activations has had all weights.
    const of = (weights: NamedTensors, part: string): tf.Tensor => weights[`${name}.${part}`] as tf.Tensor;
    if (isEdauBound(norm)) {
      const options = { stride, padding, eps, bound: norm };
      const own = (weights: NamedTensors): EdauWeights => ({ A: of(weights, 'A'), B: of(weights, 'B') });
      return {
        name,
        below,
        apply: (x, vectors, weights) => edauMap(x, vectors, own(weights), options),
        applyTransposed: (x, cotangents, weights) => edauMapTransposed(x, cotangents, own(weights), options),
        alignment: (x, weights) => edauAlignment(x, own(weights), options),
      };
    }
    const options = { stride, padding, eps, norm };
    const own = (weights: NamedTensors): DauWeights => ({ A: of(weights, 'A'), B: of(weights, 'B'), b: of(weights, 'b') });
    return {
      name,
      below,
      apply: (x, vectors, weights) => dauMap(x, vectors, own(weights), options),
      applyTransposed: (x, cotangents, weights) => dauMapTransposed(x, cotangents, own(weights), options),
      alignment: (x, weights) => dauAlignment(x, own(weights), options),
    };
  });
  const taps = [input, ...stack.map(({ name }) => name)];
  const last = taps.at(-1) as string;
  const at = (activations: NamedTensors, name: string): tf.Tensor4D => activations[name] as tf.Tensor4D;
  const between = (from: string, to = last): readonly Layer[] => stack.slice(taps.indexOf(from), taps.indexOf(to));
  return {
    taps,
    apply(weights, activations, vectors, from, to) {
      let v = vectors;
      for (const layer of between(from, to)) v = layer.apply(at(activations, layer.below), v, weights);
      return to === undefined ? sumPoolScores(v, temperature) : v;
    },
    applyTransposed(weights, activations, cotangents, from, to) {
      let y = cotangents as tf.Tensor4D;
      if (to === undefined) {
        const [count, classes] = cotangents.shape as [number, number];
        const [, h, w] = at(activations, last).shape;
        // every position of a class gets what its sum gets
        y = tf.mul(tf.reshape(tf.div(cotangents, temperature), [count, 1, 1, classes]), tf.ones([1, h, w, 1]));
      }
      for (const layer of between(from, to).toReversed()) y = layer.applyTransposed(at(activations, layer.below), y, weights);
      return y;
    },
    alignment: (weights, activations) =>
      Object.fromEntries(stack.map(({ name, below, alignment }) => [name, alignment(at(activations, below), weights)])),
    localityAt: (tap) => localityOf(layers.slice(taps.indexOf(tap))),
  };
}

/** Row q of a layer reads rows s·q − p … s·q − p + k − 1 of what is below. */
function localityOf(layers: readonly Pick<v.InferOutput<typeof schema>['layers'][number], 'kernel' | 'stride' | 'padding'>[]): Locality {
  return layers.reduceRight<Locality>(
    ({ stride, reach }, layer) => ({
      stride: stride * layer.stride,
      reach: reach * layer.stride + Math.max(layer.padding, layer.kernel - 1 - layer.padding),
    }),
    { stride: 1, reach: 0 },
  );
}
