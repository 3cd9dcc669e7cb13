/** The features that a run with `cacheFeatures` trains and validates on: which, of what, with which copies. Computing them is `computeFeatures`. */
import type { NamedArrays } from '@coda-nets/core';
import type { ImageSplit } from './data/image-dataset.ts';
import type { Features } from './features.ts';
import { computeFeatures } from './frozen-features.ts';
import { copiesOf } from './training-batches.ts';
import type { TrainingRun } from './training-run.ts';

export interface KeptFeatures {
  readonly train: Features | undefined;
  readonly validation: Features | undefined;
  close(): Promise<void>;
}

/** None where the config keeps none; undefined where `signal` of any rank has ended it. `weights`: the frozen ones are used. */
export async function keptFeatures(
  run: TrainingRun,
  weights: NamedArrays,
  signal: AbortSignal | undefined,
): Promise<KeptFeatures | undefined> {
  const { config, splits, options, state } = run;
  if (!config.cacheFeatures) return { train: undefined, validation: undefined, close: async () => undefined };
  if (options.resume === true && state.step > 0 && options.featureCacheFolder === undefined) {
    options.onEvent?.({ type: 'notice', message: 'The stem’s features are computed again: no folder is named that keeps them.' });
  }
  const train = await compute(run, weights, splits.train, 'train', signal);
  if (train === undefined) return undefined;
  let validation: Features | undefined;
  try {
    validation = splits.validation && (await compute(run, weights, splits.validation, 'validation', signal));
  } catch (error) {
    await train.close();
    throw error;
  }
  const close = async (): Promise<void> => {
    await train.close();
    await validation?.close();
  };
  if (splits.validation === undefined || validation !== undefined) return { train, validation, close };
  await close();
  return undefined;
}

function compute(
  { options, config, recipe, maker }: TrainingRun,
  weights: NamedArrays,
  split: ImageSplit,
  name: 'train' | 'validation',
  signal: AbortSignal | undefined,
): Promise<Features | undefined> {
  const { engine, network, featureCacheFolder, onEvent, group } = options;
  return computeFeatures({
    engine,
    network,
    weights,
    split,
    precision: config.featurePrecision,
    copies: name === 'train' ? copiesOf(config.augmentation, config.featureCopies) : ['none'],
    ...recipe,
    seed: config.seed,
    maker,
    onProgress: (done, total) => onEvent?.({ type: 'features', split: name, done, total }),
    ...(featureCacheFolder === undefined ? {} : { cacheFolder: featureCacheFolder }),
    signal,
    ...(group === undefined ? {} : { group }),
  });
}
