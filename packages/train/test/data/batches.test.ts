import { createHash } from 'node:crypto';
import { Random } from '@coda-nets/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assembleBatch } from '../../src/data/assemble-batch.ts';
import { flip, flipAndCrop, noAugmentation, type SimpleAugmentation } from '../../src/data/augmentation.ts';
import { BatchSampler, epochOrder, sequentialBatches } from '../../src/data/batch-sampler.ts';
import { holdOut } from '../../src/data/hold-out.ts';
import { imageSplit, type PixelSplit } from '../../src/data/image-dataset.ts';
import { syntheticDataset } from '../../src/data/synthetic-dataset.ts';

function noise(length: number, shape: readonly [number, number, number], seed: number): PixelSplit {
  const random = Random.seeded(seed);
  const bytes = Uint8Array.from({ length: length * shape[0] * shape[1] * shape[2] }, () => random.below(256));
  return imageSplit(
    shape,
    bytes,
    Uint8Array.from({ length }, () => random.below(10)),
  );
}

/** The augmentation as it is described: a padded copy, a window of it, columns reversed; one number at a time. */
function slowBatch(split: PixelSplit, indices: readonly number[], augmentation: SimpleAugmentation, random: Random): number[] {
  const [height, width, channels] = split.imageShape;
  const pad = augmentation.kind === 'flip-and-crop' ? augmentation.pad : 0;
  const out: number[] = [];
  for (const index of indices) {
    const padded = Array.from({ length: height + 2 * pad }, () =>
      Array.from({ length: width + 2 * pad }, () => Array.from({ length: channels }, () => 0)),
    );
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < channels; c++) {
          const byte = split.images[((index * height + y) * width + x) * channels + c] as number;
          (padded[y + pad]?.[x + pad] as number[])[c] = Math.fround(byte / 255);
        }
      }
    }
    const top = augmentation.kind === 'flip-and-crop' ? random.below(2 * pad + 1) : 0;
    const left = augmentation.kind === 'flip-and-crop' ? random.below(2 * pad + 1) : 0;
    const mirrored = augmentation.kind === 'none' ? false : random.uniform() >= 0.5;
    for (const row of padded.slice(top, top + height)) {
      const window = row.slice(left, left + width);
      for (const pixel of mirrored ? window.reverse() : window) out.push(...pixel);
    }
  }
  return out;
}

describe('assembleBatch', () => {
  const augmentations = [noAugmentation, flip, flipAndCrop(), flipAndCrop({ pad: 0 }), flipAndCrop({ pad: 9 })];
  const shapes = [
    [32, 32, 3],
    [5, 7, 3],
    [4, 3, 1],
    [3, 6, 4],
  ] as const;
  test.each(augmentations.flatMap((augmentation) => shapes.map((shape) => ({ augmentation, shape }))))(
    '$augmentation.kind (pad $augmentation.pad) of $shape equals the slow twin',
    ({ augmentation, shape }) => {
      const split = noise(11, shape, 3);
      const indices = [10, 0, 3, 3, 7, 1, 9, 2, 2, 2];
      const batch = assembleBatch(split, indices, augmentation, Random.seeded(17));
      expect(batch.images.shape).toEqual([10, ...shape]);
      expect(Array.from(batch.images.data)).toEqual(slowBatch(split, indices, augmentation, Random.seeded(17)));
      expect(Array.from(batch.labels.data)).toEqual(indices.map((i) => split.labels[i]));
    },
  );

  test('mirrors half of the images and reaches every offset', () => {
    // One bright pixel in the middle of each image says where it went.
    const images = new Uint8Array(4000 * 9 * 9);
    for (let n = 0; n < 4000; n++) images[n * 81 + 4 * 9 + 3] = 255;
    const split = imageSplit([9, 9, 1], images, new Uint8Array(4000));
    const { data } = assembleBatch(split, epochOrder(4000, Random.seeded(1)), flipAndCrop({ pad: 2 }), Random.seeded(2)).images;
    const counts = new Map<number, number>();
    for (let n = 0; n < 4000; n++) {
      const at = data.subarray(n * 81, (n + 1) * 81).indexOf(1);
      counts.set(at, (counts.get(at) ?? 0) + 1);
    }
    // Columns 1 … 5 unmirrored and 7 … 3 mirrored: 7 columns × 5 rows.
    expect(counts.size).toBe(35);
    const rightOfAll = [...counts].filter(([at]) => at % 9 > 5).reduce((sum, [, n]) => sum + n, 0);
    // 2 of 5 offsets of the mirrored half: 800 expected, 25 the standard deviation.
    expect(Math.abs(rightOfAll - 800)).toBeLessThan(125);
  });

  test('refuses an index outside, an augmentation without numbers, a bad pad', () => {
    const split = noise(3, [4, 4, 3], 1);
    expect(() => assembleBatch(split, [0, 3])).toThrow(
      'assembleBatch: indices[1]: no image of the split; expected an integer from 0 to 2, got 3',
    );
    expect(() => assembleBatch(split, [0], flip)).toThrow(
      'assembleBatch: random: the augmentation flip needs random numbers; expected a Random, got undefined',
    );
    expect(() => flipAndCrop({ pad: 1.5 })).toThrow(
      'flipAndCrop: pad: not a number of pixels; expected an integer from 0 to 1024, got 1.5',
    );
  });
});

describe('BatchSampler', () => {
  test('an epoch hands out every image at most once, all batches of one size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }), fc.boolean(), (length, size, dropLast) => {
        if (dropLast && size > length) return;
        const sampler = new BatchSampler({ length, batchSize: size, seed: 3, dropLast });
        for (const epoch of [0, 1]) {
          const seen: number[] = [];
          for (let i = 0; i < sampler.batchesPerEpoch; i++) {
            const batch = sampler.next();
            expect(batch).toMatchObject({ epoch, position: seen.length, endsEpoch: i === sampler.batchesPerEpoch - 1 });
            if (dropLast) expect(batch.indices.length).toBe(size);
            seen.push(...batch.indices);
          }
          expect(seen.length).toBe(dropLast ? length - (length % size) : length);
          expect(new Set(seen).size).toBe(seen.length);
          expect(Math.max(...seen)).toBeLessThan(length);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('goes on from its state in the middle of an epoch with the same batches and the same augmentation', () => {
    const options = { length: 25, batchSize: 4, seed: 99 };
    const whole = new BatchSampler(options);
    const batches = Array.from({ length: 20 }, () => {
      const state = JSON.stringify(whole.state);
      const { epoch, position, indices, random } = whole.next();
      return { state, epoch, position, indices, draw: random.uint32() };
    });
    for (const [i, { state }] of batches.entries()) {
      const resumed = new BatchSampler(options);
      resumed.next();
      resumed.restore(JSON.parse(state));
      for (const expected of batches.slice(i)) {
        const { epoch, position, indices, random } = resumed.next();
        expect({ epoch, position, indices, draw: random.uint32() }).toEqual({
          epoch: expected.epoch,
          position: expected.position,
          indices: expected.indices,
          draw: expected.draw,
        });
      }
    }
    expect(batches[0]?.indices).not.toEqual(batches[6]?.indices);
    expect(new Set(batches.map(({ draw }) => draw)).size).toBe(20);
  });

  test('the order is the same on every machine and version', () => {
    const { indices, random } = new BatchSampler({ length: 50_000, batchSize: 6, seed: 1 }).next();
    expect({ indices: Array.from(indices), draw: random.uint32() }).toMatchInlineSnapshot(`
      {
        "draw": 1975141996,
        "indices": [
          27161,
          20847,
          31500,
          33658,
          23575,
          21586,
        ],
      }
    `);
    expect(new BatchSampler({ length: 50_000, batchSize: 6, seed: 2 }).next().indices).not.toEqual(indices);
  });

  test('refuses impossible sizes and places', () => {
    expect(() => new BatchSampler({ length: 5, batchSize: 6, seed: 0 })).toThrow(
      'BatchSampler: batchSize: no batch of this size can be made; expected an integer from 1 to 5, the number of images, got 6',
    );
    const sampler = new BatchSampler({ length: 10, batchSize: 3, seed: 0 });
    for (const position of [1, 9, -3]) {
      expect(() => sampler.restore({ epoch: 0, position })).toThrow(
        'BatchSampler.restore: state: not a place between two batches of this sampler; ' +
          `expected epoch ≥ 0, position a multiple of 3 below 9, got epoch 0, position ${position}. `,
      );
    }
  });

  test('sequential batches cover everything in order', () => {
    expect([...sequentialBatches(7, 3)].map((batch) => Array.from(batch))).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });
});

describe('holdOut', () => {
  test('divides a split in two, in its order, by the seed alone', () => {
    const split = imageSplit(
      [1, 1, 1],
      Uint8Array.from({ length: 100 }, (_, i) => i),
      Uint8Array.from({ length: 100 }, (_, i) => i % 7),
    );
    const { rest, held } = holdOut(split, 30, Random.seeded(4));
    expect([held.length, rest.length]).toEqual([30, 70]);
    expect([...held.images, ...rest.images].sort((a, b) => a - b)).toEqual(Array.from(split.images));
    for (const part of [held, rest]) {
      expect(Array.from(part.images).sort((a, b) => a - b)).toEqual(Array.from(part.images));
      expect(Array.from(part.labels)).toEqual(Array.from(part.images, (i) => i % 7));
    }
    expect(holdOut(split, 30, Random.seeded(4)).held.fingerprint).toBe(held.fingerprint);
    expect(holdOut(split, 30, Random.seeded(5)).held.fingerprint).not.toBe(held.fingerprint);
    expect(() => holdOut(split, 100, Random.seeded(4))).toThrow(
      'holdOut: count: not a part of the split; expected an integer from 1 to 99, got 100',
    );
  });
});

describe('syntheticDataset', () => {
  test('gives the same bytes everywhere, other ones for another seed', () => {
    const train = syntheticDataset({ classes: 3, perClass: 5, size: 12, seed: 8 }).split('train');
    expect(createHash('sha256').update(train.images).digest('hex')).toMatchInlineSnapshot(
      `"45da721356fdd339be18a737269bd112289721094d76317047a664530d8a0f22"`,
    );
    expect(Array.from(train.labels.subarray(0, 5))).toEqual([0, 1, 2, 0, 1]);
    const other = syntheticDataset({ classes: 3, perClass: 5, size: 12, seed: 9 });
    expect(other.split('train').images).not.toEqual(train.images);
    expect(other.split('test').length).toBe(3);
  });

  test('can be learnt: the mean colour of the most coloured pixels tells the classes apart', () => {
    const dataset = syntheticDataset({ perClass: 20 });
    const feature = (split: PixelSplit, n: number) => {
      const sum = [0, 0, 0];
      const pixels = Array.from({ length: 1024 }, (_, p) => split.images.subarray((n * 1024 + p) * 3, (n * 1024 + p) * 3 + 3));
      for (const [r = 0, g = 0, b = 0] of pixels) {
        const mean = (r + g + b) / 3;
        [r, g, b].forEach((x, c) => (sum[c] = (sum[c] as number) + (x - mean) ** 3 + (mean - 115) ** 3 / 20));
      }
      const norm = Math.hypot(...sum);
      return sum.map((x) => x / norm);
    };
    const train = dataset.split('train');
    const centres = dataset.classNames.map(() => [0, 0, 0]);
    for (let n = 0; n < train.length; n++) {
      const centre = centres[train.labels[n] as number] as number[];
      feature(train, n).forEach((x, c) => (centre[c] = (centre[c] as number) + x));
    }
    const test = dataset.split('test');
    let right = 0;
    for (let n = 0; n < test.length; n++) {
      const f = feature(test, n);
      const scores = centres.map((centre) => centre.reduce((sum, x, c) => sum + (x / Math.hypot(...centre)) * (f[c] as number), 0));
      if (scores.indexOf(Math.max(...scores)) === test.labels[n]) right++;
    }
    // Chance is 0.1.
    expect(right / test.length).toBeGreaterThan(0.6);
  });

  test('refuses what it cannot draw', () => {
    expect(() => syntheticDataset({ classes: 11 })).toThrow(
      'syntheticDataset: classes: out of range; expected an integer from 1 to 10, got 11',
    );
  });
});
