/**
 * The published configurations of CoDA-Nets (arXiv 2109.13004), with every temperature and rank of the paper's ablations. Configs only: no weights
 * come with them. `m-tinyimagenet` is a reconstruction: its ranks and size are published, the rest follows the other two.
 */
import { CodaError, described, nearestName, parseConfig } from '@coda-nets/core';
import * as v from 'valibot';
import type { CodaConfig } from './coda-config.ts';
import { count } from './coda-layer-schema.ts';
import { temperatureSchema } from './readout.ts';

/** T of S-CoDA: a larger one asks for more alignment. The preset without a suffix has T = 1000. */
const temperatures = [10, 50, 100, 500, 1000, 5000, 10_000] as const;
/** f of S-CoDA's ranks (f, f, 2f × 7). The preset without a suffix has f = 32. */
const ranks = [4, 8, 16, 32, 144] as const;

export type CodaPresetName =
  | 's-cifar10'
  | `s-cifar10-t${(typeof temperatures)[number]}`
  | `s-cifar10-rank${(typeof ranks)[number]}`
  | 'm-tinyimagenet'
  | 'l-imagenet100';

export interface CodaPresetOptions {
  /** T in place of the preset's. */
  readonly temperature?: number;
  /** f: the rank of the first layer in place of the preset's, at most 16384; the other layers' ranks keep their ratios to it. */
  readonly rank?: number;
}

/** The ranks above are up to four times as large, and none may be above 65536. */
const optionsSchema = v.strictObject({ temperature: v.optional(temperatureSchema), rank: v.optional(count(16_384)) });

/** A table's columns, one entry a layer. */
interface Columns {
  readonly out: readonly number[];
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly rank: readonly number[];
}

function layersOf({ out, kernel, stride, rank }: Columns): CodaConfig['layers'] {
  return out.map((channels, i) => ({
    out: channels,
    kernel: kernel[i] as number,
    stride: stride[i] as number,
    rank: rank[i] as number,
  }));
}

function withOptions(config: CodaConfig, { temperature = config.temperature, rank }: v.InferOutput<typeof optionsSchema>): CodaConfig {
  const first = config.layers[0]?.rank as number;
  const layers = config.layers.map((layer) => ({ ...layer, rank: (layer.rank * (rank ?? first)) / first }));
  return { ...config, layers, temperature };
}

/** 7,782,816 parameters. */
const small: CodaConfig = {
  kind: 'coda',
  inputShape: [32, 32, 3],
  layers: layersOf({
    out: [16, 16, 32, 32, 32, 64, 64, 64, 10],
    kernel: [3, 3, 3, 3, 3, 3, 3, 3, 1],
    stride: [1, 1, 2, 1, 1, 2, 1, 1, 1],
    rank: [32, 32, 64, 64, 64, 64, 64, 64, 64],
  }),
  temperature: 1000,
  classes: 10,
};

/** 27,942,368 parameters; 27.94 M are published. */
const medium: CodaConfig = {
  kind: 'coda',
  inputShape: [64, 64, 3],
  layers: layersOf({
    out: [16, 16, 32, 32, 32, 64, 64, 64, 200],
    kernel: [3, 3, 3, 3, 3, 3, 3, 3, 1],
    stride: [1, 1, 2, 1, 1, 2, 1, 1, 1],
    rank: [64, 64, 64, 128, 128, 128, 256, 256, 256],
  }),
  temperature: 1000,
  classes: 200,
};

/** 47,517,408 parameters. */
const large: CodaConfig = {
  kind: 'coda',
  inputShape: [240, 240, 3],
  layers: layersOf({
    out: [16, 32, 32, 64, 64, 64, 64, 64, 100],
    kernel: [7, 3, 3, 3, 3, 3, 3, 3, 3],
    stride: [3, 1, 1, 2, 1, 1, 2, 1, 1],
    rank: [64, 64, 64, 128, 128, 128, 256, 256, 256],
  }),
  temperature: 100_000,
  classes: 100,
};

export const codaPresets = {
  's-cifar10': small,
  ...Object.fromEntries(temperatures.map((temperature) => [`s-cifar10-t${temperature}`, withOptions(small, { temperature })])),
  ...Object.fromEntries(ranks.map((rank) => [`s-cifar10-rank${rank}`, withOptions(small, { rank })])),
  'm-tinyimagenet': medium,
  'l-imagenet100': large,
} as Readonly<Record<CodaPresetName, CodaConfig>>;

/**
 * The config of a preset, with another temperature or rank where one is given: `codaPreset('s-cifar10', { temperature: 50, rank: 8 })`.
 * Throws a CodaError with the nearest name and the list for a preset that does not exist, and for options that are none.
 */
export function codaPreset(name: string, options: CodaPresetOptions = {}): CodaConfig {
  if (typeof name === 'string' && Object.hasOwn(codaPresets, name)) {
    return withOptions(codaPresets[name as CodaPresetName], parseConfig(optionsSchema, options, 'codaPreset: options'));
  }
  const names = Object.keys(codaPresets);
  const near = typeof name === 'string' ? nearestName(name, names) : undefined;
  throw new CodaError({
    kind: 'argument',
    where: 'codaPreset: name',
    problem: 'no such preset',
    expected: `one of ${names.join(', ')}`,
    got: described(name),
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}
