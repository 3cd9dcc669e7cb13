/** The config of a hybrid: what may be in it, its defaults, and whether its parts fit together. Builds nothing. */
import * as v from 'valibot';
import { CodaError, parseConfig } from '@coda-nets/core';
import { checkCodaStack, codaEpsilonSchema, codaLayerSchema, codaNormSchema, defaultLogitBias, type CodaNorm } from '@coda-nets/dau';
import { resnetConfigSchema, resnetStem, type ResnetConfig, type ResnetOptions } from '@coda-nets/resnet';

export type HybridHead = {
  /** What bounds the weight of every unit: `sq`, `l2`, or an eDAU's `frobenius`, `spectral`, `product`. */
  readonly norm: CodaNorm;
  /** T: logits are the sum over positions divided by T, plus b₀. A larger T asks for more alignment. */
  readonly temperature: number;
  /** b₀, fixed. */
  readonly logitBias: number;
  /** ε of every unit's norm. */
  readonly eps: number;
  /** From the cut to the logits; the last has one unit for each class. */
  readonly layers: readonly {
    readonly out: number;
    readonly kernel: number;
    readonly stride: number;
    readonly padding: number;
    readonly rank: number;
  }[];
};

/** Everything that is needed to build the network again, with every default filled in. JSON-able. */
export type HybridConfig = {
  readonly kind: 'hybrid';
  /** The whole backbone; only its part up to the cut is built. Its `classes` and `labelSmoothing` play no role. */
  readonly backbone: ResnetConfig;
  /** The backbone's tap that feeds the head: `conv1` or a block. */
  readonly cut: string;
  /** `frozen`: weights and statistics stay as they are, batch norm in inference mode. `trained`: the stem is fine-tuned with the head. */
  readonly stem: 'frozen' | 'trained';
  readonly head: HybridHead;
  readonly classes: number;
};

/** As a person writes it: defaults may be left out. */
export type HybridOptions = {
  readonly kind: 'hybrid';
  readonly backbone: ResnetOptions;
  readonly cut: string;
  /** Default `frozen`. */
  readonly stem?: 'frozen' | 'trained';
  readonly head: {
    /** Default `sq`. */
    readonly norm?: CodaNorm;
    readonly temperature: number;
    /** Default ln(0.1 / 0.9). */
    readonly logitBias?: number;
    /** Default 1e-12. */
    readonly eps?: number;
    readonly layers: readonly {
      readonly out: number;
      readonly kernel: number;
      /** Default 1. */
      readonly stride?: number;
      /** Default ⌊kernel / 2⌋. */
      readonly padding?: number;
      readonly rank: number;
    }[];
  };
  readonly classes: number;
};

/** Deeper stacks are a mistake: the published ones have nine layers. */
const maxLayers = 100;
const maxClasses = 65_536;

const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));

/** As a config is written; `parseHybridConfig` also checks that its parts fit together. */
export const hybridConfigSchema = v.strictObject({
  kind: v.literal('hybrid'),
  backbone: resnetConfigSchema,
  cut: v.string(),
  stem: v.optional(v.picklist(['frozen', 'trained']), 'frozen'),
  head: v.strictObject({
    norm: codaNormSchema,
    temperature: positive,
    logitBias: v.optional(v.pipe(v.number(), v.finite()), defaultLogitBias),
    eps: codaEpsilonSchema,
    layers: v.pipe(v.array(codaLayerSchema), v.minLength(1), v.maxLength(maxLayers)),
  }),
  classes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxClasses)),
});

/**
 * The full config. Throws a CodaError that names the leaf: a misspelt key or a cut that does not exist with the nearest right one, a last layer
 * that has not one unit for each class, a kernel larger than what it would see.
 */
export function parseHybridConfig(value: unknown, where = 'hybrid: config'): HybridConfig {
  const config: HybridConfig = parseConfig(hybridConfigSchema, value, where);
  const { featureShape } = stemOf(config, where);
  checkCodaStack(`${where}: head.`, config.head, { classes: config.classes, side: Math.min(featureShape[0], featureShape[1]) });
  return config;
}

function stemOf({ backbone, cut }: HybridConfig, where: string): ReturnType<typeof resnetStem> {
  try {
    return resnetStem(backbone, cut);
  } catch (error) {
    throw CodaError.isInstance(error) ? error.within(where) : error;
  }
}
