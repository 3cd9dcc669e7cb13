/**
 * The options of the layers here: what every layer of `tf.layers` takes, and the checks their own have in common. Unknown options are refused;
 * inside a layer there are only canonical values.
 */
import type { layers } from '@tensorflow/tfjs-layers';
import * as v from 'valibot';
import { parseConfig } from '@coda-nets/core';
import { codaNormSchema } from '../coda-config.ts';
import type { CodaNorm } from '../coda-layers.ts';
import { defaultDauEpsilon } from '../dau-conv.ts';

/** What every layer of `tf.layers` takes: `name`, `inputShape`, `trainable`, … */
export type LayerOptions = NonNullable<ConstructorParameters<typeof layers.Layer>[0]>;

/** Sizes above are mistakes: the weights of one layer would not fit into memory. */
const maxSize = 65_536;

export const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxSize));
export const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
export const finite = v.pipe(v.number(), v.finite());
export const zeros = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maxSize));

/** What every unit takes, convolutional or dense. */
export const unitEntries = {
  rank: size,
  norm: codaNormSchema,
  eps: v.optional(positive, defaultDauEpsilon),
  seed: v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff_ffff))), null),
};

/** The same, as a person writes it. */
export interface UnitOptions extends LayerOptions {
  /** r: the dimension all units of the layer share. */
  readonly rank: number;
  /** `sq` (default) and `l2` are DAUs; `frobenius`, `spectral` and `product` are eDAUs, a reconstruction, which have no b. */
  readonly norm?: CodaNorm;
  /** ε of every unit's norm; default 1e-12. */
  readonly eps?: number;
  /** Of the first weights: an integer in [0, 2³²). By default they follow from the layer's name, so that no two layers begin alike. */
  readonly seed?: number | null;
}

const passedOn = v.optional(v.unknown());
const layerEntries = {
  name: passedOn,
  inputShape: passedOn,
  batchInputShape: passedOn,
  batchSize: passedOn,
  dtype: passedOn,
  inputDType: passedOn,
  trainable: passedOn,
  weights: passedOn,
};

/** A layer's own options, checked, with their defaults; without those of `tf.layers`. `where` names the layer in errors. */
export function ownOptions<const Entries extends v.ObjectEntries>(
  entries: Entries,
  options: object,
  where: string,
): v.InferOutput<v.StrictObjectSchema<Entries, undefined>> {
  // tf.layers puts this into every config that it loads.
  const { customObjects: _, ...given } = options as Readonly<Record<string, unknown>>;
  const parsed = parseConfig(v.strictObject({ ...entries, ...layerEntries }), given, where);
  return Object.fromEntries(Object.entries(parsed).filter(([name]) => !Object.hasOwn(layerEntries, name))) as v.InferOutput<
    v.StrictObjectSchema<Entries, undefined>
  >;
}
