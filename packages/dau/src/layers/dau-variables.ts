/** The weights of a layer of units as variables of `tf.layers`, first drawn as those of `codaLayers` are, from a seed. */
import { Random, sizeOf } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import type { initializers, LayerVariable } from '@tensorflow/tfjs-layers';
import type { CodaNorm } from '../coda-layer-schema.ts';
import { isEdauBound } from '../edau-conv.ts';
import { uniformInit } from '../uniform-init.ts';

type Initializer = ReturnType<typeof initializers.ones>;

/** eDAUs have no b. */
export type DauVariables = Readonly<Record<'A' | 'B', LayerVariable>> & { readonly b?: LayerVariable };

export interface DauVariablesOptions {
  /** [k, k, C] or [d]: what stands before the units' axes. */
  readonly patch: readonly number[];
  readonly units: number;
  readonly rank: number;
  readonly norm: CodaNorm;
  readonly seed: number | null;
  /** Of the layer: gives the stream of random numbers where there is no seed. */
  readonly name: string;
}

/** A [patch, n, r], B [patch, r], b [patch, n], each U(−1/√fan_in, 1/√fan_in): fan_in is d for B, r for A and b. `add` is the layer's `addWeight`. */
export function dauVariables(
  { patch, units, rank, norm, seed, name }: DauVariablesOptions,
  add: (name: string, shape: number[], initializer: Initializer) => LayerVariable,
): DauVariables {
  const random = seed === null ? Random.seeded(0).split(name) : Random.seeded(seed);
  const uniform = (weight: string, shape: number[], fanIn: number): LayerVariable =>
    add(
      weight,
      shape,
      initializer(() => uniformInit(random.split(weight), shape, 1 / Math.sqrt(fanIn)).data, shape),
    );
  return {
    A: uniform('A', [...patch, units, rank], rank),
    B: uniform('B', [...patch, rank], sizeOf(patch)),
    ...(!isEdauBound(norm) && { b: uniform('b', [...patch, units], rank) }),
  };
}

/** Drawn only when it is applied: a model that is being loaded takes zeros instead. Not written into configs: the layer writes its seed. */
function initializer(draw: () => Float32Array, shape: number[]): Initializer {
  return {
    apply: () => tf.tensor(draw(), shape, 'float32'),
    getConfig: () => ({}),
    getClassName: () => 'CodaUniform',
    fromConfigUsesCustomObjects: () => false,
  };
}
