/** What an engine's options may be: a wrong or misspelt one is an error before anything starts. */
import { CodaError, nearestName } from '@coda-nets/core';

interface Rule {
  readonly expected: string;
  readonly holds: (value: unknown) => boolean;
}

const flag: Rule = { expected: 'true or false', holds: (value) => typeof value === 'boolean' };

const rules: Readonly<Record<string, Rule>> = {
  threads: {
    expected: 'a whole number of at least 1',
    holds: (value) => Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) < 2 ** 31,
  },
  copyConstantsUpTo: { expected: 'a number of bytes, from 0 to Infinity', holds: (value) => typeof value === 'number' && value >= 0 },
  blocked: flag,
  ownThread: flag,
  profile: { expected: 'a path', holds: (value) => typeof value === 'string' && value !== '' },
  listFallbacks: flag,
  provider: { expected: 'cpu or cuda', holds: (value) => value === 'cpu' || value === 'cuda' },
};

/** What a GPU alone is asked for. */
const cpuOptions = Object.keys(rules).filter((name) => name !== 'listFallbacks');

/** Throws a CodaError that names the option, what it may be and what it is; an unknown one with the nearest that there is. An undefined one is not given. */
export function checkEngineOptions(where: string, options: unknown, known: readonly string[] = cpuOptions): void {
  const wrong = (name: string, problem: string, expected: string, got: unknown, hint?: string): CodaError =>
    new CodaError({ kind: 'argument', where: name === '' ? where : `${where}: ${name}`, problem, expected, got: String(got), hint });
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw wrong('', 'its options', 'an object', options);
  for (const [name, value] of Object.entries(options)) {
    const rule = known.includes(name) ? rules[name] : undefined;
    if (rule === undefined) {
      const nearest = nearestName(name, known);
      throw wrong(name, 'no such option', known.join(', '), name, nearest === undefined ? undefined : `Did you mean ${nearest}?`);
    }
    if (value !== undefined && !rule.holds(value)) throw wrong(name, 'not what this option may be', rule.expected, value);
  }
}
