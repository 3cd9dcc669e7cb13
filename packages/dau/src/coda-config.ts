/** The config of a CoDA network: what may stand in a JSON file, and its canonical form with every default filled in. */
import * as v from 'valibot';
import { CodaError, parseConfig } from '@coda-nets/core';
import { codaNorms } from './coda-layers.ts';
import { defaultDauEpsilon } from './dau-conv.ts';
import { defaultLogitBias } from './readout.ts';

/** Sizes above these are mistakes: the weights of one layer would not fit into memory. */
const maxSide = 16_384;
const maxChannels = 65_536;
const maxLayers = 1000;

const count = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));

/** One layer, for configs that contain a stack of them. */
export const codaLayerSchema = v.pipe(
  v.strictObject({
    out: count(maxChannels),
    kernel: count(maxSide),
    stride: v.optional(count(maxSide), 1),
    padding: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maxSide))),
    rank: count(maxChannels),
  }),
  v.transform(({ padding, ...layer }) => ({ ...layer, padding: padding ?? Math.floor(layer.kernel / 2) })),
);

export const codaNormSchema = v.optional(v.picklist(codaNorms), 'sq');

/** As a config is written; `parseCodaConfig` also checks that its parts fit together. */
export const codaConfigSchema = v.strictObject({
  kind: v.literal('coda'),
  inputShape: v.strictTuple([count(maxSide), count(maxSide), v.literal(3)]),
  encoding: v.optional(v.picklist(['rgb6', 'none']), 'rgb6'),
  layers: v.pipe(v.array(codaLayerSchema), v.minLength(1), v.maxLength(maxLayers)),
  norm: codaNormSchema,
  eps: v.optional(positive, defaultDauEpsilon),
  temperature: positive,
  logitBias: v.optional(v.pipe(v.number(), v.finite()), defaultLogitBias),
  classes: count(maxChannels),
});

/** As a person writes it: defaults may be left out. */
export type CodaConfig = v.InferInput<typeof codaConfigSchema>;
/** With every default in its place. */
export type CanonicalCodaConfig = v.InferOutput<typeof codaConfigSchema>;

/** Throws a CodaError that names the leaf; also where layers, classes and input size do not fit together. */
export function parseCodaConfig(value: unknown, where = 'codaNetwork: config'): CanonicalCodaConfig {
  const config = parseConfig(codaConfigSchema, value, where);
  const last = config.layers.at(-1);
  if (last?.out !== config.classes) {
    throw new CodaError({
      kind: 'argument',
      where: `${where}: layers[${config.layers.length - 1}].out`,
      problem: 'the last layer has one unit for each class',
      expected: `${config.classes}`,
      got: `${last?.out}`,
    });
  }
  let side = Math.min(config.inputShape[0], config.inputShape[1]);
  for (const [i, { kernel, stride, padding }] of config.layers.entries()) {
    if (side + 2 * padding < kernel) {
      throw new CodaError({
        kind: 'argument',
        where: `${where}: layers[${i}].kernel`,
        problem: 'the kernel is larger than what the layers below leave',
        expected: `at most ${side + 2 * padding}`,
        got: `${kernel}`,
      });
    }
    side = Math.floor((side + 2 * padding - kernel) / stride) + 1;
  }
  return config;
}
