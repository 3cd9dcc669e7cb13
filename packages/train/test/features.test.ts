/** Kept features: half precision, mirrored copies, and the disk cache that must never give stale ones. */
import { copyFile, readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeFloat16, encodeFloat16, initWeights, ndArray, Random, type NamedArrays } from '@coda-nets/core';
import { eagerEngine } from '@coda-nets/engine';
import { expectClose, expectNoLeak, useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { computeFeatures, subset, syntheticDataset, type FeatureCopy, type Features } from '../src/index.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { side, stemChannels, tinyNetwork } from './tiny-network.ts';
import { watchedEngine } from './watched-engine.ts';

/** Three float32 products. */
const TOLERANCE = { rtol: 1e-6, atol: 1e-6 } as const;
const network = tinyNetwork({ frozen: true });
const weights = initWeights(network, Random.seeded(5));
const dataset = syntheticDataset({ classes: 4, perClass: 2, size: side }).split('train');
const split = subset(dataset, [0, 1, 2, 3, 4, 5, 6]);
const cpu = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });

beforeAll(() => useBackend('cpu'));

/** images·S of one image, mirrored or not. */
function twin(given: NamedArrays, image: number, copy: FeatureCopy, images = split.images): Float64Array {
  const stem = given['stem.weight']?.data as Float32Array;
  const out = new Float64Array(side * side * stemChannels);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const from = ((image * side + y) * side + (copy === 'flip' ? side - 1 - x : x)) * 3;
      for (let c = 0; c < stemChannels; c++) {
        for (let k = 0; k < 3; k++) {
          out[(y * side + x) * stemChannels + c]! += ((images[from + k] as number) / 255) * stem[k * stemChannels + c]!;
        }
      }
    }
  }
  return out;
}

async function expectTwin(features: Features, given: NamedArrays, images = split.images): Promise<void> {
  const indices = [6, 0, 3, 5];
  const copies: FeatureCopy[] = ['flip', 'none', 'flip', 'none'];
  const batch = await features.batch(indices, copies);
  expect(batch.shape).toEqual([4, side, side, stemChannels]);
  expectClose(
    batch.data,
    indices.flatMap((n, i) => [...twin(given, n, copies[i] as FeatureCopy, images)]),
    TOLERANCE,
  );
}

describe('computeFeatures', () => {
  const copies = ['none', 'flip'] as const;
  const options = { engine: cpu, network, weights, split, copies, batchSize: 3 };

  it('has the stem of every image and of its mirror image, the last batch smaller', async () => {
    await expectNoLeak(async () => expectTwin(await computeFeatures(options), weights));
  });

  it('rounds to half precision where asked to, each feature by at most 2⁻¹¹ of itself', async () => {
    const exact = (await (await computeFeatures(options)).batch([0, 6], 'flip')).data;
    const halves = (await (await computeFeatures({ ...options, precision: 'float16' })).batch([0, 6], 'flip')).data;
    const [bits, same] = [new Uint16Array(halves.length), new Float32Array(halves.length)];
    encodeFloat16(halves, bits);
    decodeFloat16(bits, same);
    expect(same).toEqual(halves);
    let changed = 0;
    for (const [i, x] of exact.entries()) {
      const half = halves[i] as number;
      // or half of the smallest step there is
      expect(Math.abs(half - x)).toBeLessThanOrEqual(Math.max(2 ** -11 * Math.abs(x), 2 ** -25));
      if (half !== x) changed++;
    }
    expect(changed).toBeGreaterThan(exact.length / 2);
  });

  it('refuses a copy it has not, and a network without a frozen stem', async () => {
    const features = await computeFeatures({ ...options, copies: ['none'] });
    await expect(features.batch([0], 'flip')).rejects.toThrow('Features.batch: copy: this copy was not computed; expected none, got flip');
    await expect(computeFeatures({ ...options, network: tinyNetwork() })).rejects.toThrow(
      'computeFeatures: network: this network has no frozen stem whose features could be kept; got kind "tiny"',
    );
  });
});

describe('the disk cache', () => {
  const changed = (name: string): NamedArrays => ({
    ...weights,
    [name]: ndArray(
      'float32',
      [...(weights[name]?.shape ?? [])],
      (weights[name]?.data as Float32Array).map((x) => x + 0.5),
    ),
  });
  let runs = 0;
  const engineCalled = (description: string) =>
    watchedEngine(cpu, {
      description,
      onRun: (_, output) => {
        runs++;
        return output;
      },
    });
  const compute = async (cacheFolder: string, change: object = {}): Promise<[number, Features]> => {
    runs = 0;
    const copies = ['none', 'flip'] as const;
    const features = await computeFeatures({
      engine: engineCalled('a'),
      network,
      weights,
      split,
      copies,
      cacheFolder,
      ...change,
    });
    return [runs, features];
  };

  it('computes once, and again for everything that features depend on', async () => {
    const folder = await temporaryFolder();
    expect((await compute(folder))[0]).toBe(2);
    const [again, features] = await compute(folder);
    expect(again).toBe(0);
    await expectTwin(features, weights);
    // a head may change: features do not depend on it
    expect((await compute(folder, { weights: changed('fc.weight') }))[0]).toBe(0);

    const other = changed('stem.weight');
    const [stemRuns, stemFeatures] = await compute(folder, { weights: other });
    expect(stemRuns).toBe(2);
    await expectTwin(stemFeatures, other);
    const otherSplit = subset(dataset, [7, 1, 2, 3, 4, 5, 6]);
    const [splitRuns, splitFeatures] = await compute(folder, { split: otherSplit });
    expect(splitRuns).toBe(2);
    await expectTwin(splitFeatures, weights, otherSplit.images);
    expect((await compute(folder, { engine: engineCalled('b') }))[0]).toBe(2);
    expect((await compute(folder, { network: tinyNetwork({ frozen: true, name: 'other' }) }))[0]).toBe(2);
    expect(await readdir(folder)).toHaveLength(5);
    expect((await compute(folder))[0]).toBe(0);
  });

  it('does not believe a file of another key, nor a spoiled one', async () => {
    const folder = await temporaryFolder();
    await compute(folder);
    const [own] = (await readdir(folder)) as [string];
    await compute(folder, { weights: changed('stem.weight') });
    const other = (await readdir(folder)).find((name) => name !== own) as string;
    await copyFile(join(folder, other, 'none-0.safetensors'), join(folder, own, 'none-0.safetensors'));
    const [runsOfStale, features] = await compute(folder);
    expect(runsOfStale).toBe(1);
    await expectTwin(features, weights);
    expect((await compute(folder))[0]).toBe(0);
    await truncate(join(folder, own, 'flip-0.safetensors'), 500);
    const [runsOfSpoiled, whole] = await compute(folder);
    expect(runsOfSpoiled).toBe(1);
    await expectTwin(whole, weights);
  });
});
