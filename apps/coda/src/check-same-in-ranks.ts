/** Ranks that were started with different command lines would compute one result of two works. */
import { CodaError, type JsonObject, type ProcessGroup } from '@coda-nets/core';
import { gatherJson } from './in-group.ts';

/** Throws a CodaError that begins with the name of the first rank whose `work` is another than that of rank 0. `what` is named in errors: `analysis`. */
export async function checkSameInRanks(group: ProcessGroup, work: JsonObject, what: string): Promise<void> {
  if (group.size === 1) return;
  const all = await gatherJson(group, { name: group.name, work }, `plan of the ${what}`);
  const [first] = all as [(typeof all)[number]];
  for (const { name, work: other } of all) {
    const key = Object.keys(first.work).find((one) => JSON.stringify(other[one]) !== JSON.stringify(first.work[one]));
    if (key === undefined) continue;
    throw new CodaError({
      kind: 'mismatch',
      where: name,
      problem: `another ${what} than ${first.name}: its ${key} differs`,
      expected: JSON.stringify(first.work[key]),
      got: JSON.stringify(other[key]),
    });
  }
}
