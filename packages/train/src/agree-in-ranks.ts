/** What ranks that compute features together must do alike, each of which knows its own part only. A process on its own agrees with itself. */
import { hostname, totalmem } from 'node:os';
import { CodaError, type Engine, type ErrorDetails, type ProcessGroup } from '@coda-nets/core';
import { fromEachRank } from './from-first-rank.ts';

/** The one engine of all; where there are several, what they are called together, which is no engine's name. */
export async function engineOfRanks(
  group: ProcessGroup,
  { name, description }: Engine,
): Promise<{ readonly name: string; readonly description: string }> {
  const engines = await fromEachRank(group, { name, description }, 'engines of the ranks');
  const distinct = (key: 'name' | 'description'): string => [...new Set(engines.map((engine) => engine[key]))].toSorted().join(' and ');
  return { name: distinct('name'), description: distinct('description') };
}

/** Bytes: a quarter of the machine, divided among the ranks on it; of all machines the smallest. */
export async function memoryOfRanks(group: ProcessGroup): Promise<number> {
  const ranks = await fromEachRank(group, { host: hostname(), bytes: totalmem() }, 'memory of the ranks');
  return Math.min(...ranks.map(({ host, bytes }) => bytes / 4 / ranks.filter((other) => other.host === host).length));
}

export async function isAnyAborted(group: ProcessGroup, signal: AbortSignal | undefined): Promise<boolean> {
  const aborted = Int32Array.of(signal?.aborted === true ? 1 : 0);
  await group.allReduce(aborted, 'max', 'whether all go on');
  return aborted[0] !== 0;
}

/**
 * Does `work`, which does not meet the other ranks, on each rank; where it throws a CodaError on some, every rank throws that of the first of them, with its name. Else
 * the others would wait for one that will not come. What is no CodaError, a defect, is thrown as it is on its rank, and told to the others.
 */
export async function together(group: ProcessGroup, work: () => Promise<unknown>): Promise<void> {
  if (group.size === 1) return void (await work());
  const defects: unknown[] = [];
  const failed = await work().then(
    () => null,
    (error: unknown) => {
      if (CodaError.isInstance(error)) return error.within(group.name).toJSON();
      defects.push(error);
      const said = error instanceof Error ? error.message : String(error);
      return { kind: 'unavailable', where: group.name, problem: `failed: ${said}` } satisfies ErrorDetails;
    },
  );
  const first = (await fromEachRank(group, failed, 'whether all have done their part')).find((one) => one !== null);
  if (defects.length > 0) throw defects[0];
  if (first !== undefined) throw new CodaError(first as ErrorDetails);
}
