import { syntheticDataset } from '@coda-nets/train';
import { describe, expect, it } from 'vitest';
import { inClassesOfModel } from '../src/classes-of-model.ts';

const data = syntheticDataset({ classes: 3, perClass: 2, testPerClass: 2 });
const [a, b, c] = data.classNames as [string, string, string];
/** What each image of the test split is called by its label, and what it looks like. */
const seen = (dataset: typeof data | ReturnType<typeof inClassesOfModel>): readonly (readonly [string, number])[] => {
  const split = dataset.split('test');
  if (split.kind !== 'pixels') throw new Error('not in memory');
  const bytes = split.images.length / split.length;
  return Array.from(split.labels, (label, i) => [
    dataset.classNames[label] as string,
    split.images.subarray(i * bytes, (i + 1) * bytes).reduce((x, y) => x + y),
  ]);
};

describe('a data set in the classes of a model', () => {
  const told: string[] = [];
  const of = (classNames: readonly string[]) => {
    told.length = 0;
    return inClassesOfModel(data, classNames, 'D', (line) => told.push(line));
  };

  it('is the same where the names are', () => {
    expect(of([a, b, c])).toBe(data);
    expect(told).toEqual([]);
  });

  it('has the model’s numbers, whatever their order and however many more there are', () => {
    const dataset = of(['x', c, 'y', a, b]);
    expect(dataset.classNames).toEqual(['x', c, 'y', a, b]);
    // every image is called what it was called
    expect(seen(dataset)).toEqual(seen(data));
    expect(new Set(dataset.split('test').labels)).toEqual(new Set([1, 3, 4]));
    expect(told).toEqual([]);
  });

  it('leaves out what the model does not know, and says so', () => {
    const dataset = of([c, a]);
    expect(seen(dataset)).toEqual(seen(data).filter(([name]) => name !== b));
    expect(told).toEqual(["D: 1 of 3 classes are none of the model's, and left out."]);
  });

  it.each([
    ['no name is known', ['x', 'y', 'z']],
    ['a name has several classes', [a, b, a]],
  ])('is taken by its numbers, which is said, where %s', (_, classNames) => {
    expect(of(classNames)).toBe(data);
    expect(told).toEqual([expect.stringMatching(/class names are not the model's; class 0 is taken/)]);
  });
});
