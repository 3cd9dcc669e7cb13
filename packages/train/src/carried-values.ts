/** The weights and slots of a compiled step as they are now, all finite; and the error where they, or the loss, are not. */
import { CodaError, type Compiled, type NamedArrays, type NdArray } from '@coda-nets/core';
import { listCheckpoints } from './checkpoint.ts';
import type { RunFolder } from './run-folder.ts';

/** What the step does not carry stays as it was at the start. @throws CodaError `numeric` for a value that is not finite. */
export async function carriedValues(
  compiled: Compiled,
  startWeights: NamedArrays,
  startSlots: NamedArrays,
  step: number,
  run: RunFolder,
): Promise<{ weights: NamedArrays; slots: NamedArrays }> {
  const carried = await compiled.carried();
  const take = (names: NamedArrays): NamedArrays =>
    Object.fromEntries(Object.entries(names).map(([name, before]) => [name, carried[name] ?? before]));
  for (const [name, { data }] of Object.entries(carried) as [string, NdArray<'float32'>][]) {
    if (!data.every(Number.isFinite)) {
      throw notFinite(run, step, `${JSON.stringify(name)} is no longer finite`, await listCheckpoints(run.checkpoints));
    }
  }
  return { weights: take(startWeights), slots: take(startSlots) };
}

export function notFinite(run: RunFolder, step: number, problem: string, checkpoints: readonly number[]): CodaError {
  const saved = checkpoints[0] === undefined ? 'There is no checkpoint before it' : `The checkpoint of step ${checkpoints[0]} is good`;
  return new CodaError({
    kind: 'numeric',
    where: `train: ${run.path}: step ${step}`,
    problem,
    hint: `${saved}. Try a lower learning rate or a warm-up.`,
  });
}
