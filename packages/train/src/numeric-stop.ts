/** The end of a run whose numbers are of no use any more: the batch is kept for a look at it, and the error says where it and the last good checkpoint are. */
import { join } from 'node:path';
import { CodaError, encodeSafetensors, type NamedArrays } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { listCheckpoints } from './checkpoint.ts';
import type { RunFolder } from './run-folder.ts';

/** Writes `batch-<step>.safetensors`: what the step was fed, under its inputs' names. `problem`: what became of the numbers; `advice`: what may help. */
export async function numericStop(
  folder: RunFolder,
  step: number,
  problem: string,
  batch: NamedArrays,
  advice = 'Try a lower learning rate, a warm-up or `clip`, in a new folder.',
): Promise<CodaError> {
  const [good] = await listCheckpoints(folder.checkpoints);
  const checkpoint = good === undefined ? 'There is no checkpoint before it' : `The checkpoint of step ${good} is good`;
  const path = join(folder.path, `batch-${step}.safetensors`);
  // the numbers are what has to be told, on a full disk too
  const written = folder.isSilent
    ? Promise.reject(new Error('rank 0 keeps its own'))
    : writeFileAtomic(path, encodeSafetensors(batch, { step: String(step), problem }));
  const kept = await written.then(
    () => `its batch is in ${path}`,
    (error: unknown) => `its batch could not be kept: ${(error as Error).message}`,
  );
  return new CodaError({
    kind: 'numeric',
    where: `train: ${folder.path}: step ${step}`,
    problem,
    hint: `${checkpoint}; ${kept}. ${advice}`,
  });
}
