/** `coda evaluate` and `coda depth` in shares: of MPI ranks, and of a job array; the figures are those of one process. */
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { writeModel } from '@coda-nets/core/node';
import { initWeights, Random } from '@coda-nets/core';
import { cifar10ClassNames, syntheticDataset, writeCifar10 } from '@coda-nets/train';
import { mpiLaunchers, runRanks } from '@coda-nets/tools/testkit';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildNetwork } from '../src/index.ts';
import { coda } from './run-coda.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const config = { kind: 'resnet', depth: 8, width: 4 };
/** Seconds for a launcher; above anything that is not a hang. */
const limit = 600;
// ranks on a busy machine take their time to start
vi.setConfig({ testTimeout: 700_000 });
let folder = '';
let model = '';
let data = '';
/** Of one process. */
let whole: Record<string, unknown> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-shards-'));
  data = join(folder, 'data');
  model = join(folder, 'model.safetensors');
  // 250 test images: three batches, the last a small one
  await writeCifar10(data, syntheticDataset({ classes: 10, perClass: 1, testPerClass: 25 }));
  const network = buildNetwork(config, 'test');
  const preprocessing = { size: [32, 32], layout: 'rgb', range: [0, 1] } as const;
  const classNames = [...cifar10ClassNames];
  await writeModel(model, { config: network.config, weights: initWeights(network, Random.seeded(3)), classNames, preprocessing });
  const { code, out, err } = await coda('evaluate', model, '--data', data, '--json');
  expect({ code, err }).toMatchObject({ code: 0 });
  whole = JSON.parse(out) as typeof whole;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const figures = ({ loss, top1, top5, images }: Record<string, unknown>): object => ({ loss, top1, top5, images });

describe('coda evaluate --shard', () => {
  const share = (i: number): string => join(folder, `share-${i}.json`);

  it('leaves files that coda merge joins to the figures of one process', async () => {
    for (const i of [0, 1]) {
      const { code, out } = await coda('evaluate', model, '--data', data, '--shard', `${i}/2`, '--out', share(i));
      expect(code).toBe(0);
      expect(out).toContain(`share ${i} of 2: ${2 - i} of 3 batches`);
    }
    const { code, out } = await coda('merge', share(1), share(0), '--json');
    expect(code).toBe(0);
    expect(figures(JSON.parse(out) as never)).toEqual(figures(whole));
    const again = await coda('evaluate', model, '--data', data, '--shard', '1/2', '--out', share(1));
    expect(again.out).toContain(`share 1 of 2 is in ${share(1)} already`);
  });

  it('says what is missing, and what does not belong together', async () => {
    const missing = await coda('merge', share(1));
    expect(missing.code).toBe(1);
    expect(missing.err).toContain('merge: some shares are not there; expected 2 files, of the shares 0/2 to 1/2, got none of 0/2');
    const other = join(folder, 'other.json');
    const file = JSON.parse(await readFile(share(0), 'utf8')) as { work: object };
    await writeFile(other, JSON.stringify({ ...file, work: { ...file.work, images: 40 } }));
    const mixed = await coda('merge', share(1), other);
    expect(mixed.err).toContain(`${other}: a share of another evaluation than ${share(1)}: its images differs; expected 250, got 40`);
    await writeFile(other, '{}');
    expect((await coda('merge', other)).err).toContain(`error: ${other}`);
  });

  it.each([
    [{ shard: { index: 0, count: 2 ** 40 } }, 'shard.count'],
    [{ shard: { index: 0, count: 0 } }, 'shard.count'],
    [{ shard: { index: 2, count: 2 } }, 'shard: the index is not below the count'],
    [{ part: { batches: [], of: 2 ** 40, seconds: 1 } }, 'part.of'],
    [{ part: { batches: [], of: 0, seconds: 1 } }, 'part.of'],
    [
      { part: { batches: [{ batch: 0, images: 1, loss: 1, top1: 1, top5: 1, bad: [] }], of: 1, seconds: 0 } },
      'part: batches that took no time',
    ],
  ])('names what is damaged in %j', async (damage, place) => {
    const path = join(folder, 'damaged.json');
    await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(share(0), 'utf8')) as object), ...damage }));
    const { code, err } = await coda('merge', path);
    expect(code).toBe(2);
    expect(err).toContain(`error: ${path}: ${place}`);
  });

  it('names both files of a share that is there twice', async () => {
    const twin = join(folder, 'twin.json');
    await copyFile(share(0), twin);
    const { code, err } = await coda('merge', share(0), share(1), twin);
    expect(code).toBe(1);
    expect(err).toContain(`${twin}: share 0/2 is in ${share(0)} too`);
  });

  it('makes the folder of its file before the work, and says where it cannot', async () => {
    const out = join(folder, 'parts', 'of', '0.json');
    const { code, err } = await coda('evaluate', model, '--data', data, '--shard', '0/2', '--out', out);
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(JSON.parse(await readFile(out, 'utf8'))).toMatchObject({ shard: { index: 0, count: 2 } });
    const below = join(out, '1.json');
    // before even the model is looked for
    const none = await coda('evaluate', join(folder, 'none.safetensors'), '--data', data, '--shard', '1/2', '--out', below);
    expect(none.code).toBe(1);
    expect(none.err).toContain(`${out}: this folder could not be made (EEXIST)`);
  });

  it('refuses a share that is none, or has no file', async () => {
    expect((await coda('evaluate', model, '--data', data, '--shard', '2/2', '--out', 'x')).code).toBe(2);
    const { code, err } = await coda('evaluate', model, '--data', data, '--shard', '0/2');
    expect(code).toBe(2);
    expect(err).toContain('evaluate: --shard: its figures need a file; expected --shard I/N together with --out FILE');
    const both = await coda('evaluate', model, '--data', data, '--shard', '0/2', '--out', 'x', '--distributed');
    expect(both.err).toContain('--shard: is for processes that do not know of each other; expected either --shard or --distributed');
    expect((await coda('evaluate', model, '--data', data, '--distributed')).err).toContain('no launcher of MPI has started this process');
  });
});

describe.each(mpiLaunchers)('$name', (launcher) => {
  it('evaluates as one process does, and rank 0 alone talks', async () => {
    const { code, out, err } = await runRanks(launcher, 2, [main, 'evaluate', model, '--data', data, '--json'], { limit });
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(figures(JSON.parse(out) as never)).toEqual(figures(whole));
    expect(JSON.parse(out)).toMatchObject({ ranks: 2 });
    expect(err).toMatch(/rank 0 of 2 \(.+\)\nrank 1 of 2 \(.+\)\n/);
  });
});

// once is enough: what they test is ours, not the library's
describe.each(mpiLaunchers.slice(0, 1))('$name, further', (launcher) => {
  // the words after the program depend on the rank, which each launcher tells in its own variable
  const rankOf = launcher.name === 'MPICH' ? 'PMI_RANK' : 'OMPI_COMM_WORLD_RANK';
  it('refuses ranks that evaluate different works', async () => {
    const unlike = join(folder, `unlike-${rankOf}.mjs`);
    await writeFile(
      unlike,
      `if (process.env['${rankOf}'] === '1') process.argv.push('--limit', '200');\nprocess.argv[1] = ${JSON.stringify(main)};\nawait import(${JSON.stringify(pathToFileURL(main).href)});\n`,
    );
    const { code, err } = await runRanks(launcher, 2, [unlike, 'evaluate', model, '--data', data, '--json'], { limit });
    expect(code).not.toBe(0);
    expect(err).toMatch(/rank 1 of 2 \(.+\): a share of another evaluation than rank 0 of 2 \(.+\): its \w+ differs/);
  });

  it('ends all ranks where the work fails', async () => {
    const { code, err } = await runRanks(launcher, 2, [main, 'evaluate', join(folder, 'none.safetensors'), '--data', data], { limit });
    expect(code).not.toBe(0);
    expect(err).toMatch(/error: rank \d of 2 \(.+\): .*none\.safetensors/);
  });
});
