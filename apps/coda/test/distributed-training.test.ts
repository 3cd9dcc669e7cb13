/**
 * `coda train` under real MPI: N ranks as one, features computed in shares, the plan of a dry run, and what a killed rank leaves behind. Needs a launcher of MPI;
 * without one, skipped. What a step of many ranks computes is tested without MPI, in packages/train.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { decodeSafetensors } from '@coda-nets/core';
import { expectClose, mpiLaunchers, rankImages, rankTraining, runRanks } from '@coda-nets/tools/testkit';
import { syntheticDataset, writeCifar10 } from '@coda-nets/train';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { coda } from './run-coda.ts';
import { tinyFiles } from './tiny-training.ts';

/** Sums of float32 gradients in another order, over a hundred steps. */
const EQUAL = { atol: 1e-5, rtol: 1e-5 };
/** Running statistics after as many: less is known of a channel than of a loss. */
const STATISTICS = { atol: 1e-4, rtol: 1e-4 };
/** A test starts up to six Nodes, which on a machine that is busy take their time. */
const PATIENCE = 1_500_000;
/** Seconds for a launcher. Four ranks on two cores that others use too have taken 220. */
const limit = 700;

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
/** A hybrid whose stem is trained too: a ResNet-8 to its second stage, two CoDA layers. Its batch norms use the images of all ranks. */
const hybrid = {
  kind: 'hybrid',
  backbone: { kind: 'resnet', depth: 8, width: 4 },
  cut: 'layer2.0',
  stem: 'trained',
  classes: 10,
  head: {
    temperature: 64,
    layers: [
      { out: 8, kernel: 3, stride: 2, rank: 4 },
      { out: 10, kernel: 1, rank: 4 },
    ],
  },
};
let folder = '';
let data = '';
const configOf = (name: string): string => join(folder, `${name}.json`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-ranks-'));
  data = join(folder, 'data');
  await writeCifar10(data, syntheticDataset(rankImages));
  const write = (name: string, config: object): Promise<void> => writeFile(configOf(name), JSON.stringify({ ...rankTraining, ...config }));
  // ten steps an epoch
  for (const ranks of [1, 2, 4]) {
    await write(`coda-${ranks}`, { batch: 8 / ranks, epochs: 10, validateEvery: 10, augmentation: { kind: 'flip-and-crop', pad: 2 } });
    // plain descent: Adam makes steps of rounding errors where a gradient is 0
    const descent = { optimiser: { kind: 'sgd' }, learningRate: 0.02 };
    await write(`stem-${ranks}`, { ...descent, network: hybrid, batch: 8 / ranks, epochs: 2, validateEvery: 2 });
  }
  await write('hybrid', { network: hybrid, batch: 4, epochs: 3, checkpointEverySteps: 2 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const train = (name: string, out: string, ...more: string[]): [string, ...string[]] => [
  'train',
  configOf(name),
  '--data',
  data,
  '--out',
  join(folder, out),
  ...more,
];

interface Line {
  readonly type: string;
  readonly step: number;
  readonly loss: number;
  readonly validationLoss?: number;
}

async function metrics(out: string): Promise<readonly Line[]> {
  const text = await readFile(join(folder, out, 'metrics.jsonl'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

async function statisticsOf(out: string) {
  const { tensors } = decodeSafetensors(await readFile(join(folder, out, 'last.safetensors')), 'last.safetensors');
  return Object.entries(tensors).filter(([name]) => /running_(mean|var)$/.test(name));
}

const lossesOf = (lines: readonly Line[]): number[] => lines.filter(({ type }) => type === 'step').map(({ loss }) => loss);

describe.runIf(mpiLaunchers.length > 0)('coda train', () => {
  const [launcher] = mpiLaunchers as readonly [(typeof mpiLaunchers)[number]];

  it.each([
    ['without batch norm', 'coda', 100, 0],
    ['with a trained stem, running statistics included', 'stem', 20, 12],
  ] as const)(
    'has the losses of one process with 2 and with 4 ranks, on each MPI: %s',
    async (_, network, steps, normStatistics) => {
      expect((await coda(...train(`${network}-1`, `${network}-one`))).code).toBe(0);
      const one = await metrics(`${network}-one`);
      expect(lossesOf(one).length).toBe(steps);
      for (const [i, launcherHere] of mpiLaunchers.entries()) {
        // oversubscribed, on the first
        const ranks = i === 0 ? 4 : 2;
        const { code, err, out } = await runRanks(launcherHere, ranks, [main, ...train(`${network}-${ranks}`, `${network}-${i}`)], {
          limit,
        });
        expect({ code, err }).toMatchObject({ code: 0 });
        expect(out.match(new RegExp(`finished: step ${steps} of ${steps}`, 'g'))?.length).toBe(1);
        const many = await metrics(`${network}-${i}`);
        expectClose(lossesOf(many), lossesOf(one), EQUAL);
        // the line of an epoch, after which others may come
        const last = (lines: readonly Line[]): number =>
          lines.findLast(({ validationLoss }) => validationLoss !== undefined)?.validationLoss ?? NaN;
        expect(Math.abs(last(many) - last(one))).toBeLessThan(EQUAL.atol);
        const [expected, statistics] = [await statisticsOf(`${network}-one`), await statisticsOf(`${network}-${i}`)];
        expect(expected.length).toBe(normStatistics);
        for (const [name, { data }] of expected) {
          const actual = statistics.find(([other]) => other === name)?.[1].data;
          expectClose(actual as Float32Array, data as Float32Array, STATISTICS);
        }
      }
    },
    PATIENCE,
  );

  it(
    'keeps the features of a frozen stem that each rank has computed a share of: the files of one process',
    async () => {
      const files = await tinyFiles(await mkdtemp(join(folder, 'stem-')));
      const network = { ...hybrid, stem: 'frozen' };
      const config = { ...rankTraining, network, cacheFeatures: true, augmentation: { kind: 'flip' }, epochs: 1 } as const;
      const call = (batch: number, out: string): Promise<[string, ...string[]]> =>
        files
          .config(out, { ...(config as object), batch })
          .then((path) => [
            'train',
            path,
            '--data',
            data,
            '--stem',
            files.stem,
            '--threads',
            '1',
            '--out',
            join(folder, out),
            '--feature-cache',
            join(folder, `features-${out}`),
          ]);
      const cacheOf = async (out: string): Promise<Record<string, string>> => {
        const cache = join(folder, `features-${out}`);
        const names = readdirSync(cache, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.safetensors'));
        return Object.fromEntries(
          await Promise.all(names.map(async (name) => [name, await readFile(join(cache, name), 'base64')] as const)),
        );
      };
      const alone = await coda(...(await call(8, 'kept-1')));
      expect({ code: alone.code, err: alone.err }).toMatchObject({ code: 0 });
      const { code, err } = await runRanks(launcher, 2, [main, ...(await call(4, 'kept-2'))], { limit });
      expect({ code, err }).toMatchObject({ code: 0 });
      const kept = await cacheOf('kept-2');
      // of training images in both copies, of which each rank has computed one, and of validation
      expect(
        Object.keys(kept)
          .map((name) => basename(name))
          .toSorted(),
      ).toEqual(['flip-0.safetensors', 'none-0.safetensors', 'none-0.safetensors']);
      expect(kept).toEqual(await cacheOf('kept-1'));
      expectClose(lossesOf(await metrics('kept-2')), lossesOf(await metrics('kept-1')), EQUAL);
    },
    PATIENCE,
  );

  it(
    'says once what it would be, with its ranks and what they exchange',
    async () => {
      const { code, out, err } = await runRanks(launcher, 2, [main, ...train('coda-2', 'dry', '--dry-run', '--json')], { limit });
      expect({ code, err }).toMatchObject({ code: 0 });
      const plan = JSON.parse(out) as {
        network: { parameters: number };
        exchanged: { bytesPerStep: number; moving: number; waiting: number };
      };
      // 80 images, two ranks with four each
      expect(plan).toMatchObject({ dryRun: true, ranks: 2, trainImages: 80, stepsPerEpoch: 10, totalSteps: 100, measuredSteps: 10 });
      // gradients as float32; loss, penalty, how many are right and whether to stop as float64
      expect(plan.exchanged.bytesPerStep).toBe(4 * plan.network.parameters + 4 * 8);
      expect(plan.exchanged.moving + plan.exchanged.waiting).toBeGreaterThan(0);
      expect(err.match(/^steps: 10 an epoch of batch 2 × 4, 100 in 10 epochs$/gm)?.length).toBe(1);
      expect(
        err.match(/^ranks: 2; each exchanges .+ a step, [\d.]+ % of the time moving them and [\d.]+ % waiting for the others$/gm)?.length,
      ).toBe(1);
      expect(existsSync(join(folder, 'dry'))).toBe(false);
    },
    PATIENCE,
  );

  it(
    'says once what is left of a run that would go on',
    async () => {
      expect((await coda(...train('coda-1', 'planned', '--epochs', '2'))).code).toBe(0);
      const plan = async (...more: string[]) =>
        runRanks(launcher, 2, [main, 'train', '--out', join(folder, 'planned'), '--resume', '--dry-run', ...more], { limit });
      const left = await plan('--epochs', '3');
      expect({ code: left.code, err: left.err }).toMatchObject({ code: 0 });
      expect(left.out.match(/^steps: 10 an epoch of .*, 30 in 3 epochs, of which 20 are done$/gm)?.length).toBe(1);
      const finished = await plan();
      expect({ code: finished.code, err: finished.err }).toMatchObject({ code: 0 });
      expect(finished.out.match(/is finished, at step 20 of 20: nothing is left to do\.$/gm)?.length).toBe(1);
      const refused = await plan('--epochs', '1');
      expect(refused.err).toContain('the run to resume is in epoch 2 already');
    },
    PATIENCE,
  );

  it(
    'leaves a run that any number of ranks goes on with when a rank is killed',
    async () => {
      let killed = 0;
      const pids: number[] = [];
      const onText = (text: string): void => {
        for (const [, pid] of text.matchAll(/rank \d of 2 \(.+, process (\d+)\)/g)) pids.push(Number(pid));
      };
      // as soon as there is a checkpoint, at some moment of its own
      const watch = setInterval(() => {
        const folderOf = join(folder, 'killed', 'checkpoints');
        const names = existsSync(folderOf) ? readdirSync(folderOf) : [];
        if (killed !== 0 || !names.some((name) => /^\d+$/.test(name)) || pids.length < 2) return;
        killed = pids[1] as number;
        process.kill(killed, 'SIGKILL');
      }, 20);
      const first = await runRanks(launcher, 2, [main, ...train('hybrid', 'killed')], { limit, onText }).finally(() =>
        clearInterval(watch),
      );
      expect(killed).not.toBe(0);
      expect(first.code).not.toBe(0);
      expect(first.err + first.out).toMatch(/rank 1\b/);
      // the launcher is gone a moment before the ranks that it has ended
      let alone = await coda(...train('hybrid', 'killed', '--resume'));
      for (let i = 0; i < 60 && alone.err.includes('another process is training'); i++) {
        await sleep(500);
        alone = await coda(...train('hybrid', 'killed', '--resume'));
      }
      expect(alone.out + alone.err).toContain('finished: step 30 of 30');
      const lines = await metrics('killed');
      expect(lossesOf(lines).length).toBe(30);
      expect(lossesOf(lines).every(Number.isFinite)).toBe(true);
      const { tensors } = decodeSafetensors(await readFile(join(folder, 'killed', 'last.safetensors')), 'last.safetensors');
      expect(Object.keys(tensors).length).toBeGreaterThan(10);
    },
    PATIENCE,
  );
});
