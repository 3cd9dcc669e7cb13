/** Kept features that many ranks compute together: each its share, all with the bits of one process. Ranks live in this process; MPI is tested with the command. */
import { rmSync, writeFileSync } from 'node:fs';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { initWeights, Random, type ProcessGroup } from '@coda-nets/core';
import { eagerEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, expect, it } from 'vitest';
import { computeFeatures, subset, syntheticDataset, type ComputeFeaturesOptions, type Features } from '../src/index.ts';
import { batchMaker, type BatchMaker } from '../src/data/batch-maker.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { localGroup } from './local-group.ts';
import { side, tinyNetwork } from './tiny-network.ts';
import { watchedEngine } from './watched-engine.ts';

const network = tinyNetwork({ frozen: true });
const weights = initWeights(network, Random.seeded(5));
/** Three pieces of 1000 at most in each copy, of which none is another's twin: 1000 is no multiple of seven. */
const length = 2100;
const few = syntheticDataset({ classes: 4, perClass: 2, size: side }).split('train');
const split = subset(
  few,
  Uint32Array.from({ length }, (_, i) => i % 7),
);
const copies = ['none', 'flip'] as const;
const pieces = 6;
const cpu = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });

beforeAll(() => useBackend('cpu'));

type Change = Partial<ComputeFeaturesOptions>;

/** Features of a rank, and how many images its engine has seen. */
async function compute(group: ProcessGroup | undefined, change: Change = {}): Promise<{ features: Features | undefined; images: number }> {
  let images = 0;
  const engine = watchedEngine(cpu, {
    onRun: (inputs, output) => {
      images += inputs['images']?.shape[0] ?? 0;
      return output;
    },
  });
  const features = await computeFeatures({ engine, network, weights, split, copies, ...(group && { group }), ...change });
  return { features, images };
}

const together = (size: number, changeOf: (rank: number) => Change = () => ({})) =>
  Promise.all(localGroup(size).map((group) => compute(group, changeOf(group.rank))));

/** Some images of every piece in each copy, and what is bad. */
async function allOf(features: Features | undefined): Promise<object> {
  if (features === undefined) return {};
  const indices = Uint32Array.from({ length: Math.ceil(length / 11) }, (_, i) => 11 * i);
  const batches = await Promise.all(copies.map((copy) => features.batch(indices, copy)));
  await features.close();
  return { values: batches.map(({ data }) => Buffer.from(data.buffer as ArrayBuffer).toString('base64')), bad: features.bad };
}

async function filesIn(folder: string): Promise<Record<string, string>> {
  const [key = ''] = await readdir(folder);
  const names = (await readdir(join(folder, key))).toSorted();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, key, name), 'base64')] as const)),
  );
}

it.each([
  ['in memory', {}],
  ['in half precision', { precision: 'float16' }],
] as const)('ranks compute a share each and have all, the bits of one process: %s', async (_, change) => {
  const whole = await allOf((await compute(undefined, change)).features);
  for (const size of [2, 4]) {
    const ranks = await together(size, () => change);
    expect(ranks.reduce((sum, { images }) => sum + images, 0)).toBe(2 * length);
    expect(Math.max(...ranks.map(({ images }) => images))).toBeLessThanOrEqual(1000 * Math.ceil(pieces / size));
    for (const { features } of ranks) expect(await allOf(features)).toEqual(whole);
  }
});

it.each([
  ['held in memory', undefined],
  ['read from there', 0],
] as const)('a folder that all see has the files of one process, %s, and is used by any number of ranks', async (_, maxMemory) => {
  const [ofOne, ofAll] = [await temporaryFolder(), await temporaryFolder()];
  const more = { ...(maxMemory !== undefined && { maxMemory }) };
  const whole = await allOf((await compute(undefined, { ...more, cacheFolder: ofOne })).features);
  const ranks = await together(4, () => ({ ...more, cacheFolder: ofAll }));
  expect(ranks.reduce((sum, { images }) => sum + images, 0)).toBe(2 * length);
  for (const { features } of ranks) expect(await allOf(features)).toEqual(whole);
  expect(await filesIn(ofAll)).toEqual(await filesIn(ofOne));
  for (const folder of [ofOne, ofAll]) {
    for (const { features, images } of [
      await compute(undefined, { ...more, cacheFolder: folder }),
      ...(await together(3, () => ({ ...more, cacheFolder: folder }))),
    ]) {
      expect(images).toBe(0);
      expect(await allOf(features)).toEqual(whole);
    }
  }
});

it('folders of each rank’s own are no worse than none', async () => {
  const whole = await allOf((await compute(undefined)).features);
  const folders = [await temporaryFolder(), await temporaryFolder()];
  for (const maxMemory of [Infinity, 0]) {
    for (const { features } of await together(2, (rank) => ({ maxMemory, cacheFolder: folders[rank] as string }))) {
      expect(await allOf(features)).toEqual(whole);
    }
  }
});

it('an interrupt while a rank computes what it does not see ends all of them cleanly, and the next call goes on', async () => {
  const folders = [await temporaryFolder(), await temporaryFolder()];
  const stop = new AbortController();
  let images = 0;
  // rank 1 has computed three pieces by then, and computes those of rank 0
  const engine = watchedEngine(cpu, {
    onRun: (inputs, output) => {
      images += inputs['images']?.shape[0] ?? 0;
      if (images > length) stop.abort();
      return output;
    },
  });
  const change = (rank: number): Change => ({
    maxMemory: 0,
    cacheFolder: folders[rank] as string,
    ...(rank === 1 && { engine, signal: stop.signal }),
  });
  expect((await together(2, change)).map(({ features }) => features)).toEqual([undefined, undefined]);
  expect(images).toBeGreaterThan(length);
  const whole = await allOf((await compute(undefined)).features);
  const ranks = await together(2, (rank) => ({ maxMemory: 0, cacheFolder: folders[rank] as string }));
  for (const { features } of ranks) expect(await allOf(features)).toEqual(whole);
});

it('a folder that one rank cannot have ends every rank with an error that names both', async () => {
  const good = await temporaryFolder();
  const file = join(await temporaryFolder(), 'file');
  await writeFile(file, 'no folder');
  for (const maxMemory of [Infinity, 0]) {
    const ranks = localGroup(2).map((group) => compute(group, { maxMemory, cacheFolder: group.rank === 1 ? file : good }));
    const said = await Promise.all(ranks.map((rank) => rank.then(String, (error: Error) => error.message)));
    expect(said[0]).toMatch(new RegExp(`^rank 1 of 2: ${file}`));
    expect(said[1]).toBe(said[0]);
  }
});

it('a folder that is lost while rank 0 reads what it has found there ends every rank with the same error', async () => {
  const cacheFolder = await temporaryFolder();
  await (await compute(undefined, { cacheFolder })).features?.close();
  const [key] = (await readdir(cacheFolder)) as [string];
  let lost = false;
  // once the first piece is read
  const onProgress = (): void => {
    if (lost) return;
    lost = true;
    rmSync(join(cacheFolder, key), { recursive: true });
    writeFileSync(join(cacheFolder, key), 'no folder');
  };
  const ranks = localGroup(2).map((group) => compute(group, { cacheFolder, ...(group.rank === 0 && { onProgress }) }));
  const said = await Promise.all(ranks.map((rank) => rank.then(String, (error: Error) => error.message)));
  expect(said[0]).toBe(`rank 0 of 2: ${join(cacheFolder, key)}: could not be written (EEXIST)`);
  expect(said[1]).toBe(said[0]);
});

it('a defect on one rank stays what it is there, and ends the others with a word of it', async () => {
  const defect = new Error('out of memory');
  const engine = watchedEngine(cpu, {
    onRun: () => {
      throw defect;
    },
  });
  const ranks = localGroup(2).map((group) => compute(group, group.rank === 0 ? { engine } : {}));
  const [first, second] = await Promise.allSettled(ranks);
  expect(first).toMatchObject({ status: 'rejected', reason: defect });
  expect(second).toMatchObject({ status: 'rejected', reason: { kind: 'unavailable', message: 'rank 0 of 2: failed: out of memory' } });
});

it('all stop when one is told to, and what a rank has left there is gone on with, but not what is half written', async () => {
  const whole = await allOf((await compute(undefined)).features);
  const cacheFolder = await temporaryFolder();
  const stop = new AbortController();
  const stopped = await together(2, (rank) => ({
    cacheFolder,
    ...(rank === 1 && { signal: stop.signal, onProgress: (done: number) => done > 2500 && stop.abort() }),
  }));
  expect(stopped.map(({ features }) => features)).toEqual([undefined, undefined]);
  // a first round of two pieces, and of the second that of rank 0, which nobody has told
  expect(Object.keys(await filesIn(cacheFolder))).toEqual(['none-0.safetensors', 'none-1000.safetensors', 'none-2000.safetensors']);
  const [key] = (await readdir(cacheFolder)) as [string];
  await truncate(join(cacheFolder, key, 'none-1000.safetensors'), 5000);
  await writeFile(join(cacheFolder, key, '.none-0.safetensors.tmp'), 'of a rank that was killed');
  const ranks = await together(4, () => ({ cacheFolder }));
  expect(ranks.reduce((sum, { images }) => sum + images, 0)).toBe(2 * length - 1000 - 100);
  for (const { features } of ranks) expect(await allOf(features)).toEqual(whole);
});

it('every rank knows the images that cannot be read', async () => {
  const plain = batchMaker(0);
  // image 3 of the seven, by its pixels
  const isBad = (pixels: Uint8Array): boolean => Buffer.compare(pixels, few.images.subarray(3 * pixels.length, 4 * pixels.length)) === 0;
  const maker: BatchMaker = {
    ...plain,
    make: async (task) => {
      const made = await plain.make(task);
      const { data } = task.source as { data: Uint8Array };
      const bytes = data.length / task.labels.length;
      const places = Array.from(task.labels, (_, place) => place).filter((i) => isBad(data.subarray(i * bytes, (i + 1) * bytes)));
      return { ...made, bad: places.map((place) => ({ place, file: 'three', reason: 'test' })) };
    },
  };
  const { features } = await compute(undefined, { maker });
  expect(features?.bad.map(({ place }) => place)).toEqual(Array.from({ length: 300 }, (_, i) => 7 * i + 3));
  const whole = await allOf(features);
  for (const rank of await together(4, () => ({ maker }))) expect(await allOf(rank.features)).toEqual(whole);
});
