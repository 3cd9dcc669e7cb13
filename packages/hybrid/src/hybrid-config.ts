/** The config of a hybrid network: what may be in it, its defaults, its limits. Builds nothing. */
import { CodaError, parseConfig, type JsonObject } from '@coda-nets/core';
import { codaLayerSchema, codaNormSchema, defaultLogitBias } from '@coda-nets/dau';
import { resnetConfigSchema } from '@coda-nets/resnet';
import * as v from 'valibot';

/** No head of the papers is deeper than nine layers. */
const maxLayers = 100;

const headSchema = v.strictObject({
  /** From the cut to the classes; the last has one unit for each class. */
  layers: v.pipe(v.array(codaLayerSchema), v.minLength(1), v.maxLength(maxLayers)),
  norm: codaNormSchema,
  /** T: the larger, the stronger the pressure to align. */
  temperature: v.pipe(v.number(), v.finite(), v.gtValue(0)),
  logitBias: v.optional(v.pipe(v.number(), v.finite()), defaultLogitBias),
});

export const hybridConfigSchema = v.strictObject({
  kind: v.literal('hybrid'),
  backbone: resnetConfigSchema,
  /** The tap of the backbone whose output is the head's input. */
  cut: v.string(),
  /** `frozen`: the stem's weights stay as they are and batch norm uses its running statistics. `trained`: it is trained with the head. */
  stem: v.optional(v.picklist(['frozen', 'trained']), 'frozen'),
  head: headSchema,
});

/** As a person writes it: defaults may be left out. */
export type HybridOptions = v.InferInput<typeof hybridConfigSchema>;
/** With every default in its place. JSON-able. */
export type HybridConfig = v.InferOutput<typeof hybridConfigSchema> & JsonObject & { readonly kind: 'hybrid' };

/** The full config. Throws a CodaError that names the leaf, and for a misspelt key the nearest right one. */
export function parseHybridConfig(config: unknown, where = 'hybrid: config'): HybridConfig {
  const parsed = parseConfig(hybridConfigSchema, config, where);
  const last = parsed.head.layers.at(-1);
  if (last?.out !== parsed.backbone.classes) {
    throw new CodaError({
      kind: 'argument',
      where: `${where}: head.layers[${parsed.head.layers.length - 1}].out`,
      problem: 'the last layer has one unit for each of the backbone’s classes',
      expected: String(parsed.backbone.classes),
      got: String(last?.out),
    });
  }
  return parsed as HybridConfig;
}
