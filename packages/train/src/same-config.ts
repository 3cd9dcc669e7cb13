/** Whether a run that goes on has the config it began with: what may have changed, and what has. */
import { CodaError } from '@coda-nets/core';
import type { TrainConfig } from './train-config.ts';

/** These change neither the weights nor what is measured; but for `epochs`, of which the run keeps what it was (`run-length.ts`). */
const changeable: ReadonlySet<string> = new Set([
  'checkpointEverySeconds',
  'checkpointEverySteps',
  'data',
  'epochs',
  'explainEvery',
  'explainImages',
  'maxBad',
]);

/** Throws a CodaError that names the first key in which two configs differ. `where`: the file of the older one. */
export function checkSameConfig(now: TrainConfig, before: TrainConfig, where: string): void {
  const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
  for (const key of keys) {
    if (changeable.has(key)) continue;
    const difference =
      key === 'stem'
        ? differenceOfStems(before.stem, now.stem)
        : firstDifference(before[key as keyof TrainConfig], now[key as keyof TrainConfig], key);
    if (difference === undefined) continue;
    throw new CodaError({
      kind: 'argument',
      where: `${where}: ${difference.path}`,
      problem: 'the run to resume has another value',
      expected: shown(difference.before),
      got: shown(difference.now),
      hint: 'Resume with the config of the run, or start a new one in another folder.',
    });
  }
}

type Difference = { readonly path: string; readonly before: unknown; readonly now: unknown };

/** The file may be elsewhere by now. Of a stem that was taken without a hash nothing is known to compare. */
function differenceOfStems(before: TrainConfig['stem'], now: TrainConfig['stem']): Difference | undefined {
  if (before !== undefined && before.sha256 === undefined) return undefined;
  return firstDifference(before?.sha256, now?.sha256, 'stem.sha256');
}

function firstDifference(before: unknown, now: unknown, path: string): Difference | undefined {
  if (Object.is(before, now)) return undefined;
  if (typeof before !== 'object' || typeof now !== 'object' || before === null || now === null) return { path, before, now };
  if (Array.isArray(before) !== Array.isArray(now)) return { path, before, now };
  for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const at = Array.isArray(before) ? `${path}[${key}]` : `${path}.${key}`;
    const found = firstDifference(before[key as keyof typeof before], now[key as keyof typeof now], at);
    if (found !== undefined) return found;
  }
  return undefined;
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}
