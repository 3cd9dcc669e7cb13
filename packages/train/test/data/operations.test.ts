/** The operations of the policies against Pillow's, and the choices of crops, boxes and mixes against plain loops and their distributions. */
import { readFileSync } from 'node:fs';
import { Random } from '@coda-nets/core';
import { describe, expect, it, test } from 'vitest';
import { brightness, colour, contrast, sharpness } from '../../src/data/augment/blend-operations.ts';
import { beta, mixImages } from '../../src/data/augment/mix-images.ts';
import { mirror, type Pixels } from '../../src/data/augment/pixels.ts';
import { randAugment, randAugmentOperations, trivialAugment, trivialAugmentOperations } from '../../src/data/augment/policies.ts';
import { erasedBox, randomResizedCrop } from '../../src/data/augment/random-crop.ts';
import { cutout, rotate, shearX, shearY, translateX, translateY } from '../../src/data/augment/shape-operations.ts';
import { autoContrast, equalize, invert, posterize, solarize, solarizeAdd } from '../../src/data/augment/tone-operations.ts';

interface Golden {
  readonly image: { readonly height: number; readonly width: number; readonly pixels: string };
  readonly operations: readonly { readonly name: string; readonly arguments: readonly number[]; readonly pixels: string }[];
}
const golden = JSON.parse(readFileSync(new URL('../golden/images.json', import.meta.url), 'utf8')) as Golden;
const { height, width } = golden.image;
const image = (): Pixels => ({ height, width, data: new Uint8Array(Buffer.from(golden.image.pixels, 'base64')) });

const operations: Readonly<Record<string, (image: Pixels, ...given: number[]) => Pixels | void>> = {
  autoContrast,
  equalize,
  invert,
  posterize: posterize as never,
  solarize: solarize as never,
  solarizeAdd: solarizeAdd as never,
  colour: colour as never,
  contrast: contrast as never,
  brightness: brightness as never,
  sharpness: sharpness as never,
  rotate: rotate as never,
  shearX: shearX as never,
  shearY: shearY as never,
  translateX: translateX as never,
  translateY: translateY as never,
  cutout: cutout as never,
};
/** Pillow steps through rows in numbers of 16 fractional bits: a place on the border between two pixels may fall to the other one. */
const SHARE_ON_BORDERS = 0.01;
/** Its contrast rounds the mean of the grey image, its smoothing each value: a half may go the other way. */
const LEVELS = 1;
const moves = new Set(['rotate', 'shearX', 'shearY', 'translateX', 'translateY']);

describe.each(golden.operations)('$name $arguments', ({ name, arguments: given, pixels }) => {
  it('is Pillow’s', () => {
    const before = image();
    const result = operations[name]?.(before, ...given) ?? before;
    const expected = new Uint8Array(Buffer.from(pixels, 'base64'));
    const differences = expected.map((v, i) => Math.abs(v - (result.data[i] as number)));
    if (moves.has(name)) {
      expect(differences.filter((d) => d > 0).length / differences.length).toBeLessThanOrEqual(SHARE_ON_BORDERS);
    } else {
      expect(Math.max(...differences)).toBeLessThanOrEqual(LEVELS);
      expect(differences.filter((d) => d > 0).length / differences.length).toBeLessThanOrEqual(SHARE_ON_BORDERS);
    }
  });
});

test('the goldens have every operation of RandAugment, 16 of them; TrivialAugment has 14', () => {
  expect(new Set(golden.operations.map(({ name }) => name))).toEqual(new Set(Object.keys(randAugmentOperations)));
  expect(Object.keys(randAugmentOperations)).toHaveLength(16);
  expect(Object.keys(trivialAugmentOperations)).toHaveLength(14);
});

describe('policies', () => {
  /** Magnitude 10 of 30, written out. */
  const atTen: Readonly<Record<string, readonly number[]>> = {
    rotate: [10],
    posterize: [1],
    solarize: [256 / 3],
    solarizeAdd: [36],
    colour: [0.7],
    contrast: [0.7],
    brightness: [0.7],
    sharpness: [0.7],
    shearX: [0.1],
    shearY: [0.1],
    translateX: [100 / 3],
    translateY: [100 / 3],
  };
  it.each(Object.entries(atTen))('%s at magnitude 10 is the operation at %s, with either sign', (name, [value]) => {
    const signs = ['rotate', 'shearX', 'shearY', 'translateX', 'translateY'].includes(name) ? [1, -1] : [1];
    const wanted = signs.map((sign) => {
      const fresh = image();
      return (operations[name]?.(fresh, sign * (value as number)) ?? fresh).data.join();
    });
    const got = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const fresh = image();
      got.add((randAugmentOperations[name]?.(fresh, 10 / 30, Random.seeded(seed)) ?? fresh).data.join());
    }
    expect([...got].sort()).toEqual([...new Set(wanted)].sort());
  });

  it('takes n operations one after the other, any of them, the same for the same stream', () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const one = randAugment(image(), 2, 10, Random.seeded(seed)).data.join();
      expect(randAugment(image(), 2, 10, Random.seeded(seed)).data.join() === one).toBe(true);
      seen.add(one);
      const random = Random.seeded(seed);
      let slow = image();
      for (let n = 0; n < 2; n++) slow = Object.values(randAugmentOperations)[random.below(16)]?.(slow, 1 / 3, random) ?? slow;
      expect(slow.data.join() === one).toBe(true);
    }
    expect(seen.size).toBeGreaterThan(50);
  });

  it('TrivialAugment’s strength reaches both ends', () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 400; seed++) seen.add(trivialAugment(image(), Random.seeded(seed)).data.join());
    expect(seen.size).toBeGreaterThan(200);
    const fresh = image();
    trivialAugmentOperations['posterize']?.(fresh, 1, Random.seeded(0));
    expect(fresh.data.every((v) => v % 64 === 0)).toBe(true);
    const same = image();
    trivialAugmentOperations['posterize']?.(same, 0, Random.seeded(0));
    expect(same.data.join() === image().data.join()).toBe(true);
  });
});

test('mirror reverses rows', () => {
  const mirrored = image();
  mirror(mirrored);
  const before = image().data;
  let wrong = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) wrong += mirrored.data[(y * width + x) * 3 + c] === before[(y * width + width - 1 - x) * 3 + c] ? 0 : 1;
    }
  }
  expect(wrong).toBe(0);
});

describe('randomResizedCrop', () => {
  it('draws share and ratio as it says, inside, at every place', () => {
    const random = Random.seeded(3);
    const shares: number[] = [];
    const ratios: number[] = [];
    for (let n = 0; n < 4000; n++) {
      const box = randomResizedCrop(400, 500, [0.08, 0.5], [0.75, 4 / 3], random);
      expect(box.top >= 0 && box.left >= 0 && box.top + box.height <= 400 && box.left + box.width <= 500).toBe(true);
      shares.push((box.height * box.width) / 200_000);
      ratios.push(Math.log(box.width / box.height));
    }
    const mean = (values: number[]): number => values.reduce((a, b) => a + b) / values.length;
    // uniform in [0.08, 0.5]: 0.29 ± 0.002; log-uniform: 0 ± 0.003; pixels round both
    expect(Math.abs(mean(shares) - 0.29)).toBeLessThan(0.008);
    expect(Math.abs(mean(ratios))).toBeLessThan(0.012);
    expect(Math.min(...ratios)).toBeGreaterThan(Math.log(0.75) - 0.02);
    expect(Math.max(...ratios)).toBeLessThan(Math.log(4 / 3) + 0.02);
    expect(Math.max(...ratios)).toBeGreaterThan(0.27);
  });

  it('takes the largest middle where nothing fits', () => {
    expect(randomResizedCrop(10, 100, [0.9, 1], [0.75, 4 / 3], Random.seeded(1))).toEqual({ top: 0, left: 43, height: 10, width: 13 });
    expect(randomResizedCrop(100, 10, [0.9, 1], [0.75, 4 / 3], Random.seeded(1))).toEqual({ top: 43, left: 0, height: 13, width: 10 });
    expect(randomResizedCrop(1, 1, [0.08, 0.1], [0.75, 4 / 3], Random.seeded(1))).toEqual({ top: 0, left: 0, height: 1, width: 1 });
  });
});

test('erasedBox: area and ratio as drawn, or none where none fits', () => {
  const random = Random.seeded(5);
  for (let n = 0; n < 500; n++) {
    const box = erasedBox(60, 80, [0.02, 0.4], [0.3, 10 / 3], random);
    if (box === undefined) continue;
    expect(box.top + box.height).toBeLessThanOrEqual(60);
    expect(box.left + box.width).toBeLessThanOrEqual(80);
    expect((box.height * box.width) / 4800).toBeGreaterThan(0.015);
    expect((box.height * box.width) / 4800).toBeLessThan(0.41);
  }
  expect(erasedBox(4, 4, [1, 1], [1, 1], random)).toBeUndefined();
});

describe('mixing', () => {
  const shape = [5, 6, 7, 3] as const;
  const size = 6 * 7 * 3;
  const batch = (): Float32Array => Float32Array.from({ length: 5 * size }, (_, i) => Math.floor(i / size) + (i % size) / 1000);

  it('mixup is λ x + (1 − λ) x of the partner', () => {
    const [images, before] = [batch(), batch()];
    const { partners, weight } = mixImages(images, shape, { mixup: 1, cutmix: 0 }, Random.seeded(8));
    expect(Array.from(partners.toSorted())).toEqual([0, 1, 2, 3, 4]);
    for (let i = 0; i < 5; i++) {
      for (let k = 0; k < size; k++) {
        const partner = before[(partners[i] as number) * size + k] as number;
        expect(images[i * size + k]).toBe(Math.fround(weight * (before[i * size + k] as number) + (1 - weight) * partner));
      }
    }
  });

  it('CutMix puts one box of the partner in, and the weight is the share that stayed', () => {
    for (let seed = 0; seed < 20; seed++) {
      const [images, before] = [batch(), batch()];
      const { partners, weight } = mixImages(images, shape, { mixup: 0, cutmix: 1 }, Random.seeded(seed));
      const i = partners.findIndex((partner, own) => partner !== own);
      let stayed = 0;
      let [top, bottom, left, right] = [6, -1, 7, -1];
      for (let y = 0; y < 6; y++) {
        for (let x = 0; x < 7; x++) {
          const at = (y * 7 + x) * 3;
          if (images[i * size + at] === before[i * size + at]) stayed++;
          else {
            expect(images[i * size + at]).toBe(before[(partners[i] as number) * size + at]);
            [top, bottom, left, right] = [Math.min(top, y), Math.max(bottom, y), Math.min(left, x), Math.max(right, x)];
          }
        }
      }
      expect(weight).toBeCloseTo(stayed / 42, 12);
      expect(Math.max(0, bottom - top + 1) * Math.max(0, right - left + 1)).toBe(42 - stayed);
    }
  });

  it('with both, each has about half of the batches', () => {
    let cuts = 0;
    for (let seed = 0; seed < 300; seed++) {
      const images = batch();
      const { weight, partners } = mixImages(images, shape, { mixup: 1, cutmix: 1 }, Random.seeded(seed));
      const i = partners.findIndex((partner, own) => partner !== own);
      if (i >= 0 && weight !== 1 && (images[i * size] as number) % 1 < 1e-6 && Number.isInteger(weight * 42)) cuts++;
    }
    expect(cuts).toBeGreaterThan(60);
    expect(cuts).toBeLessThan(200);
  });

  it.each([0.2, 1, 3])('Beta(%s, α) has the mean and the variance it should', (alpha) => {
    const random = Random.seeded(11);
    const values = Array.from({ length: 20_000 }, () => beta(alpha, random));
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(mean).toBeCloseTo(0.5, 1.7);
    // αβ / ((α + β)² (α + β + 1)), within five standard deviations of 20,000 draws
    expect(Math.abs(variance - 1 / (4 * (2 * alpha + 1)))).toBeLessThan(0.006);
  });
});
