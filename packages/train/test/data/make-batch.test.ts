/** Batches: each step of a recipe against a plain twin, the same whoever makes them, and what becomes of images that cannot be read. */
import { join } from 'node:path';
import { Random } from '@coda-nets/core';
import { afterAll, describe, expect, it } from 'vitest';
import { randAugment } from '../../src/data/augment/policies.ts';
import { randomResizedCrop } from '../../src/data/augment/random-crop.ts';
import { decodeBox } from '../../src/data/decode-image.ts';
import { readImageFile } from '../../src/data/image-file.ts';
import { makeBatch } from '../../src/data/make-batch.ts';
import {
  Ahead,
  BatchSampler,
  batchMaker,
  batchTask,
  flipAndCrop,
  loadBatch,
  openDataset,
  syntheticDataset,
  type Augmentation,
  type AugmentationRecipe,
  type FileSplit,
} from '../../src/index.ts';
import { put, writeTree } from './image-tree.ts';
import { temporaryFolder } from './temporary-folder.ts';

const everything: AugmentationRecipe = {
  kind: 'recipe',
  crop: { kind: 'random-resized', scale: [0.2, 1], ratio: [0.75, 4 / 3] },
  flip: true,
  policy: { kind: 'rand-augment', operations: 2, magnitude: 10 },
  erase: { probability: 0.5, area: [0.05, 0.3], ratio: [0.3, 3], fill: 'noise' },
  mixup: 0.4,
  cutmix: 1,
};
const pixels = syntheticDataset({ classes: 4, perClass: 4, size: 16 }).split('train');

async function tree(classes = ['a', 'b', 'c'], perClass = 5): Promise<{ root: string; split: FileSplit }> {
  const root = await temporaryFolder();
  await writeTree(root, '.', classes, perClass);
  return { root, split: (await openDataset(root)).split('train') as FileSplit };
}

describe('a recipe', () => {
  const size = [16, 16] as const;
  const indices = [3, 0, 9, 15];
  const bytesOf = (image: number): Uint8Array => pixels.images.subarray(image * 768, (image + 1) * 768);
  const floats = (bytes: ArrayLike<number>): number[] => Array.from(bytes, (v) => Math.fround(v / 255));
  const make = (recipe: Omit<AugmentationRecipe, 'kind'>) =>
    makeBatch(batchTask(pixels, indices, { size, augmentation: { kind: 'recipe', ...recipe } }, Random.seeded(4)));
  const streamOf = (place: number, step: string): Random => Random.seeded(4).split(place).split(step);

  it('of nothing is the image', async () => {
    const { images, labels, mixed, bad } = await make({});
    expect(Array.from(images)).toEqual(indices.flatMap((i) => floats(bytesOf(i))));
    expect([Array.from(labels), mixed, bad]).toEqual([indices.map((i) => pixels.labels[i]), undefined, []]);
  });

  it('mirrors by the image’s own stream', async () => {
    const { images } = await make({ flip: true });
    const mirrored = indices.map((_, place) => streamOf(place, 'flip').uniform() >= 0.5);
    const columnOf = (place: number, x: number): number => (mirrored[place] ? 15 - x : x);
    expect(new Set(mirrored).size).toBe(2);
    for (const [place, index] of indices.entries()) {
      const at = (y: number, x: number, c: number): number => Math.fround((bytesOf(index)[(y * 16 + x) * 3 + c] as number) / 255);
      const twin = [];
      for (let y = 0; y < 16; y++) for (let x = 0; x < 16; x++) for (let c = 0; c < 3; c++) twin.push(at(y, columnOf(place, x), c));
      expect(Array.from(images.slice(place * 768, (place + 1) * 768))).toEqual(twin);
    }
  });

  it('is for batches at once, too', async () => {
    const recipe = { size, augmentation: { kind: 'recipe', flip: true, crop: { kind: 'random', pad: 3 } } } as const;
    const { data, shape } = await loadBatch(pixels, indices, recipe, Random.seeded(4));
    expect(shape).toEqual([4, 16, 16, 3]);
    expect(Array.from(data)).toEqual(Array.from((await make(recipe.augmentation)).images));
    await expect(loadBatch(pixels, indices, recipe)).rejects.toThrow('makeBatch: random: the augmentation recipe needs random numbers');
  });

  it('cuts a window out of the padded image', async () => {
    const { images } = await make({ crop: { kind: 'random', pad: 3 } });
    for (const [place, index] of indices.entries()) {
      const random = streamOf(place, 'crop');
      const [top, left] = [random.below(7) - 3, random.below(7) - 3];
      const twin = [];
      for (let y = top; y < top + 16; y++) {
        for (let x = left; x < left + 16; x++) {
          const inside = y >= 0 && x >= 0 && y < 16 && x < 16;
          for (let c = 0; c < 3; c++) twin.push(inside ? Math.fround((bytesOf(index)[(y * 16 + x) * 3 + c] as number) / 255) : 0);
        }
      }
      expect(Array.from(images.slice(place * 768, (place + 1) * 768))).toEqual(twin);
    }
  });

  it('scales a box of an image in memory with linear interpolation', async () => {
    const crop = { kind: 'random-resized', scale: [0.3, 0.6], ratio: [0.8, 1.25] } as const;
    const { images } = await make({ crop });
    for (const [place, index] of indices.entries()) {
      const box = randomResizedCrop(16, 16, crop.scale, crop.ratio, streamOf(place, 'crop'));
      const value = (y: number, x: number, c: number): number =>
        bytesOf(index)[
          ((box.top + Math.min(box.height - 1, Math.max(0, y))) * 16 + box.left + Math.min(box.width - 1, Math.max(0, x))) * 3 + c
        ] as number;
      for (const [y, x, c] of [
        [0, 0, 0],
        [7, 3, 1],
        [15, 15, 2],
        [2, 11, 0],
      ] as const) {
        const [fy, fx] = [((y + 0.5) * box.height) / 16 - 0.5, ((x + 0.5) * box.width) / 16 - 0.5];
        const [y0, x0] = [Math.floor(fy), Math.floor(fx)];
        let expected = 0;
        for (const [dy, wy] of [
          [0, 1 - (fy - y0)],
          [1, fy - y0],
        ] as const) {
          for (const [dx, wx] of [
            [0, 1 - (fx - x0)],
            [1, fx - x0],
          ] as const)
            expected += wy * wx * value(y0 + dy, x0 + dx, c);
        }
        const got = 255 * (images[place * 768 + (y * 16 + x) * 3 + c] as number);
        // rounded to a level
        expect(Math.abs(got - expected)).toBeLessThan(0.51);
      }
    }
  });

  it('erases a box, with noise or black', async () => {
    const erase = { probability: 1, area: [0.1, 0.2], ratio: [1, 1], fill: 'black' } as const;
    const { images } = await make({ erase });
    const changed = indices.map((index, place) =>
      Array.from(images.slice(place * 768, (place + 1) * 768)).filter((v, i) => v !== Math.fround((bytesOf(index)[i] as number) / 255)),
    );
    for (const values of changed) {
      expect(values.length).toBeGreaterThan(20);
      expect(values.every((v) => v === 0)).toBe(true);
    }
    const noise = await make({ erase: { ...erase, fill: 'noise' } });
    expect(new Set(noise.images).size).toBeGreaterThan(new Set(images).size);
    expect((await make({ erase: { ...erase, probability: 0 } })).images).toEqual((await make({})).images);
  });

  it('mixes what it made, and says whose label has which weight', async () => {
    const { labels, mixed } = await make({ mixup: 1 });
    const { weights, labels: others } = mixed as NonNullable<typeof mixed>;
    expect(new Set(weights).size).toBe(1);
    expect(others.toSorted()).toEqual(labels.toSorted());
    const alone = await make({});
    const { images } = await make({ mixup: 1 });
    const sum = (values: Float32Array): number => values.reduce((a, b) => a + b, 0);
    // a permutation mixed with itself keeps the sum
    expect(sum(images)).toBeCloseTo(sum(alone.images), 1);
  });

  it('of files decodes the box it draws, and sends it through the policy', async () => {
    const { split } = await tree();
    const recipe: AugmentationRecipe = {
      kind: 'recipe',
      crop: { kind: 'random-resized', scale: [0.3, 0.9], ratio: [0.75, 1.33] },
      policy: { kind: 'rand-augment', operations: 2, magnitude: 10 },
    };
    const { images } = await makeBatch(batchTask(split, [11, 2], { size, augmentation: recipe }, Random.seeded(4)));
    for (const [place, index] of [11, 2].entries()) {
      const file = split.file(index);
      const { values } = await decodeBox(readImageFile(file), file.name, size, (h, w) =>
        randomResizedCrop(h, w, [0.3, 0.9], [0.75, 1.33], streamOf(place, 'crop')),
      );
      const { data } = randAugment({ height: 16, width: 16, data: values }, 2, 10, streamOf(place, 'policy'));
      expect(Array.from(images.slice(place * 768, (place + 1) * 768))).toEqual(floats(data));
    }
  });

  it('needs random numbers, and three channels', async () => {
    await expect(makeBatch(batchTask(pixels, [0], { size, augmentation: everything }))).rejects.toThrow(
      'makeBatch: random: the augmentation recipe needs random numbers; expected the state of a Random, got undefined',
    );
    const grey = { ...pixels, imageShape: [16, 48, 1] as const };
    await expect(makeBatch(batchTask(grey, [0], { size, augmentation: everything }, Random.seeded(0)))).rejects.toThrow(
      'a recipe augments images of three channels',
    );
  });
});

describe('the same batches', () => {
  /** Their threads load this package from source, which takes longer than all they do. */
  const makers = { 0: batchMaker(0), 1: batchMaker(1), 3: batchMaker(3) } as const;
  afterAll(() => Promise.all(Object.values(makers).map((maker) => maker.dispose())));

  async function batches(
    split: FileSplit | typeof pixels,
    augmentation: Augmentation,
    workers: 0 | 1 | 3,
    from = 0,
  ): Promise<readonly string[]> {
    const maker = makers[workers];
    const sampler = new BatchSampler({ length: split.length, batchSize: 4, seed: 12, order: split.order });
    let left = 7;
    for (let skipped = 0; skipped < from; skipped++, left--) sampler.next();
    // left in the middle of an epoch, and taken up by another one
    const resumed = new BatchSampler({ length: split.length, batchSize: 4, seed: 12, order: split.order });
    resumed.restore(sampler.state);
    const ahead = new Ahead(workers + 1, () => {
      if (left-- <= 0) return undefined;
      const { indices, random } = resumed.next();
      return maker.make(batchTask(split, indices, { size: [16, 16], augmentation }, random));
    });
    const all: string[] = [];
    for (let made = await ahead.next(); made !== undefined; made = await ahead.next()) {
      const { images, labels, mixed } = made;
      all.push(
        JSON.stringify([Buffer.from(images.buffer).toString('base64'), [...labels], mixed && [[...mixed.labels], [...mixed.weights]]]),
      );
    }
    return all;
  }
  const equal = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((text, i) => text === b[i]);

  it('for files, whatever the number of workers, and taken up in the middle of an epoch', async () => {
    const { split } = await tree();
    const alone = await batches(split, everything, 0);
    expect(alone).toHaveLength(7);
    expect(new Set(alone).size).toBe(7);
    expect(equal(await batches(split, everything, 1), alone)).toBe(true);
    expect(equal(await batches(split, everything, 3), alone)).toBe(true);
    expect(equal(await batches(split, everything, 3, 2), alone.slice(2))).toBe(true);
    expect(equal(await batches(split, everything, 0, 2), alone.slice(2))).toBe(true);
  }, 240_000);

  it.each([flipAndCrop({ pad: 2 }), everything])(
    'for images in memory, $kind',
    async (augmentation) => {
      const alone = await batches(pixels, augmentation, 0);
      expect(equal(await batches(pixels, augmentation, 3), alone)).toBe(true);
    },
    240_000,
  );
});

describe('images that cannot be read', () => {
  it('are told of, and the next good one of the batch stands in, with its label and the place’s own draws', async () => {
    const { root, split: whole } = await tree(['a', 'b'], 3);
    await put(join(root, 'a/1.JPEG'), 'no image');
    await put(join(root, 'b/0.png'), '');
    const { split } = { split: (await openDataset(root)).split('train') as FileSplit };
    expect(split.length).toBe(whole.length);
    const size = [16, 16] as const;
    const augmentation: Augmentation = { kind: 'recipe', flip: true };
    const made = await makeBatch(batchTask(split, [0, 1, 3, 4], { size, augmentation }, Random.seeded(2)));
    expect(made.bad.map(({ place, file }) => [place, file])).toEqual([
      [1, 'a/1.JPEG'],
      [2, 'b/0.png'],
    ]);
    expect(made.bad[0]?.reason).toMatch(/^not an image: 8 bytes that begin with/);
    expect(Array.from(made.labels)).toEqual([0, 1, 1, 1]);
    const twin = await makeBatch(batchTask(split, [0, 4, 4, 4], { size, augmentation }, Random.seeded(2)));
    expect(Buffer.compare(Buffer.from(made.images.buffer), Buffer.from(twin.images.buffer))).toBe(0);
    const none = await makeBatch(batchTask(split, [1, 3], { size, augmentation }, Random.seeded(2)));
    expect([none.bad.length, none.images.every((v) => v === 0)]).toEqual([2, true]);
  });

  it('a maker takes no impossible number of workers', () => {
    expect(() => batchMaker(1.5)).toThrow(
      'batchMaker: workers: not a number of worker threads; expected an integer from 0 to 256, got 1.5',
    );
  });
});
