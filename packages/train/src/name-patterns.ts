/** Patterns of weight names: letters stand for themselves, `*` for any number of them, dots included. */
import { CodaError, nearestName } from '@coda-nets/core';

export function matchesPattern(name: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(name);
}

/** Throws a CodaError for a pattern that none of the names matches. `where`: the key of the config. */
export function checkPattern(pattern: string, names: readonly string[], where: string): void {
  if (names.some((name) => matchesPattern(name, pattern))) return;
  const prefixes = [...new Set(names.map((name) => `${name.split('.')[0]}.*`))];
  const near = nearestName(pattern, [...prefixes, ...names]);
  throw new CodaError({
    kind: 'argument',
    where,
    problem: 'no trained weight has such a name',
    expected:
      prefixes.length > 8 ? `one of the ${names.length} names, such as ${JSON.stringify(names[0])}` : `such as ${prefixes.join(', ')}`,
    got: JSON.stringify(pattern),
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}
