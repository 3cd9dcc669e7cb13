/** The stem of a run is part of its config: the config alone repeats the run, and a stem that is another one, or gone, is told of. */
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readModel, writeModel } from '@coda-nets/core/node';
import { syntheticDataset, type TrainConfig } from '@coda-nets/train';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareTraining } from '../src/prepare-training.ts';
import { trainPreset } from '../src/train-presets.ts';
import { beginnings, coda } from './run-coda.ts';
import { tinyFiles, type TinyFiles } from './tiny-training.ts';

/** A few starts of a training, on a busy machine. */
const STARTS_MS = 180_000;

let folder = '';
let files: TinyFiles;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-stem-'));
  files = await tinyFiles(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const train = (config: string, out: string, ...more: string[]) =>
  coda('train', config, '--data', files.data, '--out', join(folder, out), ...more);
const configOf = (run: string): string => join(folder, run, 'config.json');
const weightsOf = async (run: string) => (await readModel(join(folder, run, 'last.safetensors'))).weights;

describe('a run with --stem', { timeout: STARTS_MS }, () => {
  it('is repeated by its config alone, which takes the stem from its file', async () => {
    const config = await files.config('one', { epochs: 1, explainEvery: 0, limit: 18 });
    expect((await train(config, 'first', '--stem', files.stem)).code).toBe(0);
    const { stem } = JSON.parse(await readFile(configOf('first'), 'utf8')) as TrainConfig;
    const sha256 = createHash('sha256')
      .update(await readFile(files.stem))
      .digest('hex');
    expect(stem).toEqual({ path: files.stem, sha256 });
    const again = await train(configOf('first'), 'again');
    expect([again.code, again.out]).toEqual([0, expect.stringContaining(`stem: ${files.stem}\n`)]);
    expect(await weightsOf('again')).toEqual(await weightsOf('first'));
  });

  it('is refused where the file is another one or gone, unless it has a checkpoint or --stem says what to take', async () => {
    const moved = join(folder, 'moved.safetensors');
    await rename(files.stem, moved);
    const gone = await train(configOf('first'), 'gone');
    expect([gone.code, gone.err]).toEqual([
      1,
      expect.stringMatching(/config\.json: stem: .*could not be read \(ENOENT\)\. Say where .*--stem\./),
    ]);
    const resumed = await train(configOf('first'), 'first', '--resume');
    expect([resumed.code, resumed.err]).toEqual([0, expect.stringMatching(beginnings)]);
    const named = await train(configOf('first'), 'named', '--stem', moved);
    expect([named.code, named.err]).toEqual([0, expect.stringMatching(beginnings)]);
    await writeFile(files.stem, 'another file');
    const other = await train(configOf('first'), 'other');
    expect([other.code, other.err]).toEqual([
      1,
      expect.stringMatching(/the file is another one than the stem was taken from; expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}\. Name /),
    ]);
    await copyFile(moved, files.stem);
  });

  it('goes on with the file that it began with, wherever that is by now, and with no other', async () => {
    const stored = await readFile(configOf('first'), 'utf8');
    const { stem } = JSON.parse(stored) as TrainConfig;
    const other = join(folder, 'other.safetensors');
    await writeModel(other, { ...(await readModel(files.stem)), classNames: Array.from({ length: 10 }, (_, c) => `kind ${c}`) });
    const sha256 = createHash('sha256')
      .update(await readFile(other))
      .digest('hex');
    const bare = await files.config('bare', { epochs: 1, explainEvery: 0, limit: 18 });
    const named = await files.config('named', { epochs: 1, explainEvery: 0, limit: 18, stem: { path: other } });
    for (const [config, ...more] of [[bare, '--stem', other], [named]] as const) {
      const refused = await train(config, 'first', '--resume', ...more);
      expect([refused.code, refused.err]).toEqual([
        2,
        expect.stringContaining(
          `config.json: stem.sha256: the run to resume has another value; expected "${stem?.sha256}", got "${sha256}". Resume with `,
        ),
      ]);
    }
    expect(await readFile(configOf('first'), 'utf8')).toBe(stored);
    // a config that says nothing of the stem, which a call named
    expect((await train(bare, 'first', '--resume')).code).toBe(0);
    expect(JSON.parse(await readFile(configOf('first'), 'utf8'))).toEqual(JSON.parse(stored));
    const moved = join(folder, 'elsewhere.safetensors');
    await copyFile(files.stem, moved);
    expect((await train(bare, 'first', '--resume', '--stem', moved)).code).toBe(0);
    expect(JSON.parse(await readFile(configOf('first'), 'utf8'))).toMatchObject({ stem: { path: moved, sha256: stem?.sha256 } });
  });
});

describe('a stem that does not fit', { timeout: STARTS_MS }, () => {
  it('is refused where its network computes something else with weights of the same shapes', async () => {
    const raw = join(folder, 'raw.safetensors');
    const model = await readModel(files.stem);
    await writeModel(raw, { ...model, config: { ...model.config, normalisation: null } });
    const { code, err } = await train(await files.config('raw'), 'raw', '--stem', raw);
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/raw\.safetensors: config: normalisation: the weights were trained in another network .*, got null\. /),
    ]);
  });

  it('is refused for a network that is no hybrid, before its file is read', async () => {
    const config = await files.config('plain', { network: { kind: 'resnet', depth: 8 } });
    const { code, err } = await train(config, 'plain', '--stem', 'no-such.safetensors');
    expect([code, err]).toEqual([2, expect.stringContaining('train: --stem: a stem is for hybrids; this is a resnet. Leave it out.')]);
  });
});

it.each([
  ['hybrid-cifar10-resnet20-tuned', 'resnet20-cifar10.safetensors'],
  ['hybrid-cifar10-resnet20-40', 'resnet20-cifar10-40.safetensors'],
])('%s has its stem by name, which any machine has', async (preset, shipped) => {
  const data = syntheticDataset({ classes: 10, perClass: 20, testPerClass: 1 });
  const first = await prepareTraining({ preset, data: 'x', dataset: data, out: folder });
  expect(first.config.stem).toEqual({
    path: `shipped:${shipped}`,
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
  });
  expect(trainPreset(preset).config.stem?.path).toBe(first.config.stem?.path);
  const path = join(folder, `${preset}.json`);
  await writeFile(path, JSON.stringify(first.config));
  const again = await prepareTraining({ preset: path, data: 'x', dataset: data, out: folder });
  const [name] = Object.keys(first.network.weights).filter((weight) => weight.startsWith('stem.')) as [string];
  expect(again.initialWeights?.[name]?.data).toEqual(first.initialWeights?.[name]?.data);
  const without = await prepareTraining({ preset, data: 'x', dataset: data, out: folder, stem: files.stem }).catch(
    (error: unknown) => error,
  );
  expect(String(without)).toContain('stem.safetensors');
});
