/**
 * The options of the layers here: what every layer of `tf.layers` takes, and the checks their own have in common. Unknown options are refused;
 * inside a layer there are only canonical values.
 */
import type { layers } from '@tensorflow/tfjs-layers';
import * as v from 'valibot';
import { parseConfig } from '@coda-nets/core';
import { codaNormSchema, unitKindOf, type CodaNorm } from '../coda-layer-schema.ts';
import { checkEpsilon, codaEpsilonSchema } from '../unit-epsilon.ts';

/** What every layer of `tf.layers` takes: `name`, `inputShape`, `trainable`, … */
export type LayerOptions = NonNullable<ConstructorParameters<typeof layers.Layer>[0]>;

/** Sizes above are mistakes: the weights of one layer would not fit into memory. */
const maxSize = 65_536;

export const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxSize));
export const finite = v.pipe(v.number(), v.finite());
export const zeros = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maxSize));

/** What every unit takes, convolutional or dense. */
export const unitEntries = {
  rank: size,
  norm: codaNormSchema,
  eps: codaEpsilonSchema,
  seed: v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff_ffff))), null),
};

/** The same, as a person writes it. */
export interface UnitOptions extends LayerOptions {
  /** r: the dimension all units of the layer share. */
  readonly rank: number;
  /** `sq` (default) and `l2` are DAUs; `frobenius`, `spectral` and `product` are eDAUs, a reconstruction, which have no b. */
  readonly norm?: CodaNorm;
  /** ε of every unit's norm; default 1e-12, from there to 1 (of DAUs from 1e-24). */
  readonly eps?: number;
  /** Of the first weights: an integer in [0, 2³²). By default they follow from the layer's name, so that no two layers begin alike. */
  readonly seed?: number | null;
}

const sizes = v.array(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))));
const layerEntries = {
  name: v.optional(v.nullable(v.string())),
  inputShape: v.optional(sizes),
  batchInputShape: v.optional(sizes),
  batchSize: v.optional(v.nullable(size)),
  dtype: v.optional(v.nullable(v.string())),
  inputDType: v.optional(v.nullable(v.string())),
  trainable: v.optional(v.nullable(v.boolean())),
  weights: v.optional(v.array(v.unknown())),
};

/** What `super` of a layer gets: `options`, of which `tf.layers` would not say what is wrong. Throws a CodaError that names the class. */
export function layerArguments<Options extends LayerOptions>(className: string, options: Options): Options {
  parseConfig(v.looseObject(layerEntries), options, className);
  return options;
}

/** Throws a CodaError for an ε that units of this norm cannot take. */
export function checkUnitEpsilon(where: string, { eps, norm }: { readonly eps: number; readonly norm: CodaNorm }): void {
  checkEpsilon(`${where}: eps`, eps, unitKindOf(norm));
}

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
