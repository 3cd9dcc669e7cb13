/** The config of a step that several processes take together, and the part of one. Computes nothing. */
import { CodaError, type ProcessGroup } from '@coda-nets/core';
import type { TrainConfig } from './train-config.ts';

/**
 * The config as one process would have it that takes all images of a step: `batch` is that of `ranks` processes, the number the run was begun with. It is
 * divided among those there are now. Throws a CodaError where that leaves a remainder.
 */
export function sharedConfig(
  config: TrainConfig,
  ranks: number,
  group: ProcessGroup,
): { readonly config: TrainConfig; readonly batchOfRank: number } {
  const batch = config.batch * ranks;
  if (batch % group.size !== 0) {
    throw new CodaError({
      kind: 'mismatch',
      where: 'train: processes',
      problem: `the run was begun by ${ranks} with ${config.batch} images each, and its ${batch} images a step cannot be divided among these`,
      expected: `a number of processes that divides ${batch}`,
      got: String(group.size),
    });
  }
  const learningRate = config.learningRate * (config.scaleLearningRate === 'linear' ? ranks : 1);
  return { config: { ...config, batch, learningRate }, batchOfRank: batch / group.size };
}
