/** Everything that decides a training, as JSON: written into the run folder, enough to run it again. */
import { parseConfig, type JsonObject } from '@coda-nets/core';
import * as v from 'valibot';
import type { OptimiserConfig } from './optimisers.ts';
import type { ScheduleConfig } from './schedules.ts';

export type AugmentationName = 'none' | 'flip' | 'flip-crop';

export interface TrainConfig {
  readonly network: JsonObject;
  /** The model file whose weights a frozen stem takes; kept for the record, read by the caller. */
  readonly stem?: string;
  readonly epochs: number;
  readonly batchSize: number;
  readonly optimiser: OptimiserConfig;
  /** Of the schedule's peak. */
  readonly learningRate: number;
  readonly schedule: ScheduleConfig;
  /** λ of L2 decay, added to the gradient of every weight that decays. */
  readonly weightDecay: number;
  readonly augmentation: AugmentationName;
  /**
   * What is evaluated after each epoch and chooses `best.safetensors`: so many training images held out, the test split (then the best model's test
   * accuracy is biased upwards; report the last one's), or nothing.
   */
  readonly validation: number | 'test' | 'none';
  readonly seed: number;
  /** Only the first so many training images; 0 for all. */
  readonly limit: number;
  /** Computes a frozen stem's features once and trains on them; crops are not possible then. */
  readonly cacheFeatures: boolean;
  /** How cached features are stored; float16 halves the memory. */
  readonly featurePrecision: 'float16' | 'float32';
  readonly checkpointEverySteps: number;
}

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const whole = (least: number) => v.pipe(v.number(), v.safeInteger(), v.minValue(least));

const adamSchema = v.strictObject({
  kind: v.literal('adam'),
  beta1: v.optional(share, 0.9),
  beta2: v.optional(share, 0.999),
  epsilon: v.optional(positive, 1e-8),
});
const sgdSchema = v.strictObject({ kind: v.literal('sgd'), momentum: v.optional(share, 0.9), nesterov: v.optional(v.boolean(), false) });
const scheduleSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('constant') }),
  v.strictObject({
    kind: v.literal('one-cycle'),
    warmup: v.optional(share, 0.15),
    startFactor: v.optional(share, 0.04),
    endFactor: v.optional(share, 0),
  }),
  v.strictObject({ kind: v.literal('step'), everyEpochs: whole(1), factor: positive }),
]);

export const trainConfigSchema = v.strictObject({
  network: v.looseObject({ kind: v.string() }),
  stem: v.exactOptional(v.string()),
  epochs: v.optional(whole(1), 20),
  batchSize: v.optional(whole(1), 128),
  optimiser: v.optional(v.variant('kind', [adamSchema, sgdSchema]), { kind: 'adam' }),
  learningRate: v.optional(positive, 2.5e-4),
  schedule: v.optional(scheduleSchema, { kind: 'one-cycle' }),
  weightDecay: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0)), 0),
  augmentation: v.optional(v.picklist(['none', 'flip', 'flip-crop']), 'flip-crop'),
  validation: v.optional(v.union([whole(1), v.picklist(['test', 'none'])]), 'none'),
  seed: v.optional(v.pipe(whole(0), v.maxValue(0xffff_ffff)), 0),
  limit: v.optional(whole(0), 0),
  cacheFeatures: v.optional(v.boolean(), false),
  featurePrecision: v.optional(v.picklist(['float16', 'float32']), 'float16'),
  checkpointEverySteps: v.optional(whole(1), 200),
});

/** The full config. Throws a CodaError that names the leaf, and for a misspelt key the nearest right one. */
export function parseTrainConfig(config: unknown, where: string): TrainConfig {
  return parseConfig(trainConfigSchema, config, where) as unknown as TrainConfig;
}
