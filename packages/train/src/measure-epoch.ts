/** What is measured at the end of an epoch: the means of its steps, validation, alignment, and whether it is the best so far. Writes nothing. */
import type { Engine, NamedArrays, Network, ProcessGroup } from '@coda-nets/core';
import { measureAlignment, type Alignment } from './alignment.ts';
import type { CheckpointState } from './checkpoint.ts';
import { noAugmentation } from './data/augmentation.ts';
import type { BatchMaker } from './data/batch-maker.ts';
import { batchTask } from './data/batch-stream.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { imagesOfBatch, type MadeBatch } from './data/make-batch.ts';
import { evaluatePart, type Evaluation } from './evaluation.ts';
import { mergeEvaluations } from './evaluation-part.ts';
import { fromEachRank } from './from-first-rank.ts';
import type { Features } from './features.ts';
import { scoreOf, type MetricName } from './metrics.ts';
import type { TrainConfig } from './train-config.ts';
import type { TrainEvent } from './train-events.ts';

interface Images {
  readonly split: ImageSplit;
  readonly features: Features | undefined;
}

export interface EpochContext {
  readonly network: Network;
  readonly engine: Engine;
  readonly config: TrainConfig;
  readonly batchesPerEpoch: number;
  readonly train: Images;
  readonly validation: Images | undefined;
  readonly maker: BatchMaker;
  readonly recipe: { readonly size: readonly [number, number]; readonly resize: number | undefined };
  /** Throws where there are too many. */
  readonly noteBad: (bad: MadeBatch['bad'] | undefined) => Promise<void>;
  readonly onEvent: ((event: TrainEvent) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  /** Each rank validates its share; all get all figures. */
  readonly group: ProcessGroup;
}

export interface MeasuredEpoch {
  /** From 1. */
  readonly epoch: number;
  /** Means over the epoch's steps. */
  readonly training: { readonly trainLoss: number; readonly trainPenalty?: number; readonly trainAccuracy: number };
  /** Undefined where there is none, or none is due. */
  readonly validation: Evaluation | undefined;
  readonly alignment: Alignment | undefined;
  /** In the metric that the best epoch is chosen by, and in that of an early stop: higher is better; undefined where it was not measured. */
  readonly score: number | undefined;
  readonly stopScore: number | undefined;
  readonly isBest: boolean;
}

/** Undefined where validation was ended early. */
export async function measureEpoch(
  context: EpochContext,
  state: CheckpointState,
  weights: NamedArrays,
): Promise<MeasuredEpoch | undefined> {
  const { config, signal } = context;
  const epoch = state.step / context.batchesPerEpoch;
  const due = epoch % config.validateEvery === 0 || epoch === config.epochs;
  const validation = due ? await validate(context, weights) : undefined;
  if (signal?.aborted === true && due && context.validation !== undefined && validation === undefined) return undefined;
  await context.noteBad(validation?.bad);
  const alignment = due ? await alignmentOf(context, weights) : undefined;
  const { steps, loss, correct, penalty } = state.epoch;
  const training = { trainLoss: loss / steps, trainAccuracy: correct / (steps * config.batch) };
  const figures: Partial<Record<MetricName, number>> = {
    ...training,
    ...(validation && { validationLoss: validation.loss, validationAccuracy: validation.top1, validationTop5: validation.top5 }),
  };
  const scoreIn = (metric: MetricName): number | undefined => {
    const value = figures[metric];
    return value !== undefined ? scoreOf(metric, value) : undefined;
  };
  const score = scoreIn(bestMetric(config));
  return {
    epoch,
    training: { ...training, ...(config.linearMapPenalty === undefined ? {} : { trainPenalty: penalty / steps }) },
    validation,
    alignment,
    score,
    stopScore: config.earlyStop === undefined ? undefined : scoreIn(stopMetric(config)),
    isBest: score !== undefined && Number.isFinite(score) && (state.best === null || score > state.best.score),
  };
}

function bestMetric({ bestBy, validation }: TrainConfig): MetricName {
  return bestBy ?? (validation.kind === 'none' ? 'trainLoss' : 'validationAccuracy');
}

/** What an early stop goes by. */
export function stopMetric(config: TrainConfig): MetricName {
  return config.earlyStop?.metric ?? bestMetric(config);
}

async function validate(context: EpochContext, weights: NamedArrays): Promise<Evaluation | undefined> {
  const { network, engine, config, maker, validation, onEvent, signal, group } = context;
  if (validation === undefined) return undefined;
  const options = {
    network,
    weights,
    engine,
    split: validation.split,
    resize: config.resize,
    maker,
    onProgress: (done: number, total: number) => onEvent?.({ type: 'validation', done, total }),
    ...(validation.features === undefined ? {} : { features: validation.features }),
    ...(signal === undefined ? {} : { signal }),
  };
  const part = await evaluatePart(options, { index: group.rank, count: group.size });
  return part && mergeEvaluations(await fromEachRank(group, part, 'figures of the validation'));
}

/** Of the first images of the validation split, or where there is none of the training split. */
async function alignmentOf(context: EpochContext, weights: NamedArrays): Promise<Alignment | undefined> {
  const { network, engine, config, maker, recipe, group } = context;
  // told by rank 0, and by nobody else
  if (network.dynamicLinear === undefined || config.alignmentImages === 0 || group.rank > 0) return undefined;
  const { split, features } = context.validation ?? context.train;
  const indices = Uint32Array.from({ length: Math.min(config.alignmentImages, split.length) }, (_, i) => i);
  if (features !== undefined) {
    return measureAlignment({ engine, network, weights, features: await features.batch(indices, 'none') });
  }
  const made = await maker.make(batchTask(split, indices, { ...recipe, augmentation: noAugmentation }));
  return measureAlignment({ engine, network, weights, images: imagesOfBatch(made, recipe.size) });
}
