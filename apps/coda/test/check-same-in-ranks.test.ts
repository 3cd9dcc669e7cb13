/** Ranks of one analysis are told apart by their plans, not by MPI: the group is a stand-in. */
import { oneProcess, type JsonObject, type ProcessGroup } from '@coda-nets/core';
import { describe, expect, it } from 'vitest';
import { checkSameInRanks } from '../src/check-same-in-ranks.ts';

const plan = { models: ['a', 'b'], grids: 50, setting: 'whole' };

/** Rank 0 of as many as there are works; the others have theirs. */
const groupOf = (...works: JsonObject[]): ProcessGroup => ({
  ...oneProcess,
  size: works.length,
  name: 'rank 0',
  allGather: async () => works.map((work, i) => new TextEncoder().encode(JSON.stringify({ name: `rank ${i}`, work }))) as never,
});

describe('checkSameInRanks', () => {
  it('lets ranks of one plan be, and a process on its own', async () => {
    await checkSameInRanks(groupOf(plan, { ...plan }), plan, 'analysis');
    await checkSameInRanks(oneProcess, plan, 'analysis');
  });

  it.each([
    [{ ...plan, models: ['b', 'a'] }, 'its models differs; expected ["a","b"], got ["b","a"]'],
    [{ ...plan, grids: 20 }, 'its grids differs; expected 50, got 20'],
  ])('names the rank and what differs in %j', async (other, text) => {
    await expect(checkSameInRanks(groupOf(plan, plan, other), plan, 'analysis')).rejects.toThrow(
      `rank 2: another analysis than rank 0: ${text}`,
    );
  });
});
