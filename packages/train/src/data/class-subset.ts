/** Some classes of a data set, numbered anew in the order in which they are asked for. */
import { CodaError, nearestName } from '@coda-nets/core';
import { subset } from './hold-out.ts';
import type { ImageDataset, ImageSplit, SplitName } from './image-dataset.ts';

/** How many: the first ones; or which, by name, id or number. */
export type ClassSelection = number | readonly string[];

/** Throws a CodaError of kind `argument` for a class that is not there, is named twice, or shares its name with another. */
export function selectClasses(dataset: ImageDataset, selection: ClassSelection): ImageDataset {
  const { classNames, classIds } = dataset;
  const chosen =
    typeof selection === 'number' ? firstClasses(classNames.length, selection) : selection.map((name) => classOf(dataset, name));
  const twice = chosen.find((c, i) => chosen.indexOf(c) !== i);
  if (twice !== undefined) {
    throw new CodaError({ kind: 'argument', where: 'classes', problem: 'a class is named twice', got: JSON.stringify(classNames[twice]) });
  }
  const selected = withClasses(
    dataset,
    chosen.map((c) => classNames[c] as string),
    new Map(chosen.map((c, i) => [c, i])),
  );
  return { ...selected, ...(classIds !== undefined && { classIds: chosen.map((c) => classIds[c] as string) }) };
}

/** The images whose class has a number in `numbers`, with that number; `classNames` are those of the new numbers. */
export function withClasses(dataset: ImageDataset, classNames: readonly string[], numbers: ReadonlyMap<number, number>): ImageDataset {
  const splits = new Map<SplitName, ImageSplit>();
  return {
    name: dataset.name,
    classNames,
    inputShape: dataset.inputShape,
    split(name) {
      const split = splits.get(name) ?? part(dataset.split(name), numbers, `${dataset.name}: ${name}`);
      splits.set(name, split);
      return split;
    },
  };
}

function part(split: ImageSplit, numbers: ReadonlyMap<number, number>, where: string): ImageSplit {
  const indices: number[] = [];
  const labels: number[] = [];
  for (const [i, label] of split.labels.entries()) {
    const number = numbers.get(label);
    if (number === undefined) continue;
    indices.push(i);
    labels.push(number);
  }
  if (indices.length > 0) return subset(split, indices, labels);
  throw new CodaError({ kind: 'mismatch', where, problem: 'there is no image of the chosen classes' });
}

function firstClasses(all: number, count: number): readonly number[] {
  if (Number.isInteger(count) && count >= 1 && count <= all) return Array.from({ length: count }, (_, c) => c);
  throw new CodaError({
    kind: 'argument',
    where: 'classes',
    problem: 'the data set has not so many classes',
    expected: `1 to ${all}`,
    got: String(count),
  });
}

/** By id, by name, and where no class is called so, by number. */
function classOf(dataset: ImageDataset, wanted: string): number {
  const { classNames, classIds = [] } = dataset;
  const byId = classIds.indexOf(wanted);
  if (byId !== -1) return byId;
  const found = classNamed(dataset, wanted, 'classes');
  if (found !== undefined) return found;
  if (/^\d+$/.test(wanted) && Number(wanted) < classNames.length) return Number(wanted);
  const nearest = nearestName(wanted, [...classNames, ...classIds]);
  throw new CodaError({
    kind: 'argument',
    where: 'classes',
    problem: 'the data set has no class of that name',
    got: JSON.stringify(wanted),
    hint: nearest === undefined ? undefined : `Did you mean ${JSON.stringify(nearest)}?`,
  });
}

/** Undefined where no class has this name. Throws a CodaError of kind `argument`, which begins with `where`, where several have. */
export function classNamed(
  { classNames, classIds }: Pick<ImageDataset, 'classNames' | 'classIds'>,
  wanted: string,
  where: string,
): number | undefined {
  const found = [...classNames.keys()].filter((c) => classNames[c] === wanted);
  if (found.length <= 1) return found[0];
  throw new CodaError({
    kind: 'argument',
    where,
    problem: 'several classes have this name',
    expected: found.map((c) => JSON.stringify(classIds?.[c] ?? String(c))).join(' or '),
    got: JSON.stringify(wanted),
    hint: `Name the class by its ${classIds === undefined ? 'number' : 'id'}.`,
  });
}
