/** Which mean and variance the batch norms of a step take that several processes take together. How they are exchanged is `meanOverRanks`. */
import { CodaError, meanOverRanks, type Engine, type ProcessGroup, type RankStatistics } from '@coda-nets/core';
import type { TrainConfig } from './train-config.ts';

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
