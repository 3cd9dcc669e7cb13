/** Facts about the real CIFAR-10. They need the fetched data set and are skipped, visibly, where it is not there. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { cifar10ClassNames, cifar10Files, classNamesText } from '../../src/data/cifar10-format.ts';
import { npmCifar10, officialCifar10 } from '../../src/data/cifar10-sources.ts';
import { dataFolder } from '../../src/data/data-cache.ts';
import { manifestFile } from '../../src/data/dataset-manifest.ts';
import { openCifar10 } from '../../src/data/open-cifar10.ts';

const folder = dataFolder('cifar10');

test.skipIf(!existsSync(join(folder, manifestFile)))('the fetched CIFAR-10 is the known one', async () => {
  const dataset = await openCifar10(folder);
  const count = (labels: Uint8Array) => cifar10ClassNames.map((_, c) => labels.filter((label) => label === c).length);
  const [train, test] = [dataset.split('train'), dataset.split('test')];
  expect(dataset.classNames).toEqual(cifar10ClassNames);
  expect(count(train.labels)).toEqual(Array.from({ length: 10 }, () => 5000));
  expect(count(test.labels)).toEqual(Array.from({ length: 10 }, () => 1000));
  expect(Array.from(train.labels.subarray(0, 10))).toEqual([6, 9, 9, 4, 1, 1, 2, 7, 8, 3]);
  expect(Array.from(test.labels.subarray(0, 10))).toEqual([3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
  // The first pixel of the first frog, and the published mean of the training images (0.4914, 0.4822, 0.4465).
  expect(Array.from(train.images.subarray(0, 3))).toEqual([59, 62, 63]);
  const sums = [0, 0, 0];
  for (let i = 0; i < train.images.length; i++) sums[i % 3] = (sums[i % 3] as number) + (train.images[i] as number);
  expect(sums.map((sum) => Number((sum / 50_000 / 1024 / 255).toFixed(4)))).toEqual([0.4914, 0.4822, 0.4465]);
  for (const { name, sha256 } of cifar10Files) {
    expect(
      createHash('sha256')
        .update(await readFile(join(folder, name)))
        .digest('hex'),
    ).toBe(sha256);
  }
});

test('what is known of the sources and files is well-formed', async () => {
  expect(cifar10Files.map(({ bytes }) => bytes)).toEqual(Array.from({ length: 6 }, () => 30_730_000));
  expect(new Set(cifar10Files.map(({ sha256 }) => sha256)).size).toBe(6);
  for (const { sha256 } of cifar10Files) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(officialCifar10.hash.value).toMatch(/^[0-9a-f]{64}$/);
  expect(Buffer.from(npmCifar10.hash.value, 'base64').length).toBe(64);
  // The official file has 61 bytes.
  expect(classNamesText(cifar10ClassNames).length).toBe(61);
  expect(await officialCifar10.address()).toBe('https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz');
});

test('the cache follows the environment', () => {
  expect(dataFolder('cifar10', { CODA_DATA: '/a', XDG_CACHE_HOME: '/b' })).toBe(join('/a', 'cifar10'));
  expect(dataFolder('cifar10', { CODA_DATA: '', XDG_CACHE_HOME: '/b' })).toBe(join('/b', 'coda-nets', 'cifar10'));
  expect(dataFolder('cifar10', {})).toMatch(/[/\\]\.cache[/\\]coda-nets[/\\]cifar10$/);
});
