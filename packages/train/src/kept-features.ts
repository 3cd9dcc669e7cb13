/** The features that a run with `cacheFeatures` trains and validates on: which, of what, with which copies. Computing them is `computeFeatures`. */
import type { NamedArrays } from '@coda-nets/core';
import type { ImageSplit } from './data/image-dataset.ts';
import { computeFeatures, type Features } from './frozen-features.ts';
import { copiesOf } from './training-batches.ts';
import { isAborted, type TrainingRun } from './training-run.ts';

export interface KeptFeatures {
  readonly train: Features | undefined;
  readonly validation: Features | undefined;
  close(): Promise<void>;
}

/** None where the config keeps none, and where the run is ended early. `weights`: the frozen ones are used. */
export async function keptFeatures(run: TrainingRun, weights: NamedArrays): Promise<KeptFeatures> {
  const { config, splits, options, state } = run;
  if (config.cacheFeatures && options.resume === true && state.step > 0 && options.featureCacheFolder === undefined) {
    options.onEvent?.({ type: 'notice', message: 'The stem’s features, which were kept in memory alone, are computed again.' });
  }
  const train = config.cacheFeatures ? await compute(run, weights, splits.train, 'train') : undefined;
  let validation: Features | undefined;
  try {
    if (config.cacheFeatures && splits.validation !== undefined && !isAborted(run)) {
      validation = await compute(run, weights, splits.validation, 'validation');
    }
  } catch (error) {
    await train?.close();
    throw error;
  }
  return {
    train,
    validation,
    close: async () => {
      await train?.close();
      await validation?.close();
    },
  };
}

function compute(
  { options, config, recipe, maker }: TrainingRun,
  weights: NamedArrays,
  split: ImageSplit,
  name: 'train' | 'validation',
): Promise<Features | undefined> {
  const { engine, network, featureCacheFolder, onEvent, signal } = options;
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
    ...(signal === undefined ? {} : { signal }),
  });
}
