/** The config of a step that several processes take together, and the part of one. Computes nothing. */
import { CodaError, meanOverRanks, type Engine, type ProcessGroup, type RankStatistics } from '@coda-nets/core';
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

/** What batch norms make of a batch that is spread over `group`: undefined where each is on its own. */
export function rankStatistics({ syncBatchNorm }: TrainConfig, engine: Engine, { size }: ProcessGroup): RankStatistics | undefined {
  if (size === 1) return undefined;
  if (engine.compileInStages !== undefined) return { size, synchronised: syncBatchNorm, mean: meanOverRanks };
  const refuse = (): never => {
    throw new CodaError({
      kind: 'unsupported',
      where: 'train: config: syncBatchNorm',
      problem: 'batch norms cannot wait for other processes on an engine that computes a step without a stop',
      expected: 'engine onnxruntime, or false: each process normalises with its own images',
      got: `engine ${engine.name}`,
    });
  };
  // of a network without batch norms nobody asks
  return syncBatchNorm ? { size, synchronised: true, mean: refuse } : undefined;
}
