/** The names of a model's classes, as `--class-names` gives them. */
import { CodaError } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { cifar10ClassNames } from '@coda-nets/train';
import { readJson } from './read-json.ts';

/** A hundred bytes for each of 100,000 classes. */
const MAX_BYTES = 10_000_000;

/**
 * `cifar10`, or a file with a name for each class in order: a JSON array (.json), or a name a line. Without one, classes are called by
 * their numbers. Throws a CodaError that begins with the file.
 */
export async function classNamesOf(source: string | undefined, classes: number): Promise<readonly string[]> {
  if (source === undefined) return Array.from({ length: classes }, (_, c) => String(c));
  const names = source === 'cifar10' ? cifar10ClassNames : source.endsWith('.json') ? await readJson(source) : await readLines(source);
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
    throw new CodaError({
      kind: 'argument',
      where: source,
      problem: 'no class names',
      expected: 'a JSON array of strings',
    });
  }
  const empty = names.findIndex((name) => name.trim() === '');
  if (empty >= 0) throw new CodaError({ kind: 'argument', where: source, problem: `the name of class ${empty} is empty` });
  if (names.length !== classes) {
    throw new CodaError({
      kind: 'argument',
      where: source,
      problem: 'not one name for each class of the config',
      expected: `${classes}`,
      got: `${names.length}`,
    });
  }
  return names;
}

/** Empty lines at the end are no names. */
async function readLines(path: string): Promise<readonly string[]> {
  const text = new TextDecoder().decode(await readFileBytes(path, { maxBytes: MAX_BYTES }));
  return text
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => line.trim());
}
