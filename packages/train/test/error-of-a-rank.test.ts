/** What one rank throws, every rank throws, with all that it says. */
import { CodaError } from '@coda-nets/core';
import { expect, it } from 'vitest';
import { together } from '../src/agree-in-ranks.ts';
import { localGroup } from './local-group.ts';

it('every rank throws all mistakes of the rank that has them', async () => {
  const mistake = (where: string): CodaError => new CodaError({ kind: 'malformed', where, problem: 'missing' });
  const mistakes = new CodaError({ kind: 'malformed', where: 'm', problem: '2 mistakes', parts: [mistake('m: a'), mistake('m: b')] });
  const groups = localGroup(2);
  const name = groups[1]?.name;
  const said = await Promise.all(
    groups.map((group) =>
      together(group, () => (group.rank === 1 ? Promise.reject(mistakes) : Promise.resolve())).then(
        String,
        (error: Error) => error.message,
      ),
    ),
  );
  expect(said).toEqual(Array.from({ length: 2 }, () => `${name}: m: 2 mistakes\n  a: missing\n  b: missing`));
});
