/** A rank that is stopped and says nothing more: the others name themselves and what they wait for, and the job ends. Needs a launcher of MPI; without one, skipped. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { initWeights, Random } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { mpiLaunchers, rankImages, rankTraining, runRanks, type MpiLauncher, type RankRun } from '@coda-nets/tools/testkit';
import { cifar10ClassNames, syntheticDataset, writeCifar10 } from '@coda-nets/train';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildNetwork } from '../src/index.ts';

/** Seconds that ranks wait for each other: longer than two that live are apart on a busy machine. */
const timeout = 20;
/** Seconds in which the job is over once a rank has said that it waits in vain. */
const soon = 60;
/** Seconds for a launcher. */
const limit = 500;
vi.setConfig({ testTimeout: 600_000 });

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let folder = '';
let data = '';
let model = '';
let config = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-hung-'));
  data = join(folder, 'data');
  model = join(folder, 'model.safetensors');
  config = join(folder, 'config.json');
  await writeCifar10(data, syntheticDataset(rankImages));
  await writeFile(config, JSON.stringify({ ...rankTraining, batch: 4, epochs: 100_000, validateEvery: 100_000 }));
  const network = buildNetwork(rankTraining.network as never, 'test');
  const preprocessing = { size: [32, 32], layout: 'rgb', range: [0, 1] } as const;
  const classNames = [...cifar10ClassNames];
  await writeModel(model, { config: network.config, weights: initWeights(network, Random.seeded(3)), classNames, preprocessing });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Hung extends RankRun {
  /** Of rank 1, which was stopped. */
  readonly process: number;
}

/** Two ranks, of which the second is stopped as soon as its process is known and `isTime` says so. */
async function withHungRank(launcher: MpiLauncher, words: readonly string[], isTime: () => boolean): Promise<Hung> {
  let said = '';
  let stopped = 0;
  const watch = setInterval(() => {
    const pid = Number(/rank 1 of 2 \(.+, process (\d+)\)/.exec(said)?.[1] ?? 0);
    if (stopped !== 0 || pid === 0 || !isTime()) return;
    stopped = pid;
    process.kill(pid, 'SIGSTOP');
  }, 20);
  const env = { CODA_MPI_TIMEOUT: String(timeout) };
  const onText = (text: string): void => void (said += text);
  const run = await runRanks(launcher, 2, [main, ...words], { env, since: /^error: rank 0/m, limit, onText }).finally(() =>
    clearInterval(watch),
  );
  expect(stopped).not.toBe(0);
  return { ...run, process: stopped };
}

async function expectEnded({ code, err, seconds, process: pid }: Hung, where: string): Promise<void> {
  expect(code).not.toBe(0);
  // in what it waits for, or in the middle of a message of the stopped rank
  expect(err).toMatch(
    new RegExp(`^error: rank 0 of 2 \\(.+\\) (has waited ${timeout} s for other ranks|hangs inside MPI) in ${where}`, 'm'),
  );
  // Open MPI wakes the stopped rank to end it, and it may find its own time over first
  expect(/^error: rank (\d)/m.exec(err)?.[1]).toBe('0');
  expect(seconds).toBeLessThan(soon);
  // a stopped process ends by SIGKILL alone; the launcher is gone a moment before
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), { timeout: 1000 * soon, interval: 200 });
}

describe.each(mpiLaunchers)('$name', (launcher) => {
  it('ends a training whose rank 1 hangs', async () => {
    const out = join(folder, `run-${launcher.name}`);
    const metrics = join(out, 'metrics.jsonl');
    const isTraining = (): boolean => existsSync(metrics) && readFileSync(metrics, 'utf8').includes('"step"');
    const hung = await withHungRank(launcher, ['train', config, '--data', data, '--out', out], isTraining);
    await expectEnded(hung, 'all-reduce "(gradients|figures) of step \\d+"');
  });
});

describe.runIf(mpiLaunchers.length > 0)('in the middle of other work', () => {
  const [launcher] = mpiLaunchers as readonly [MpiLauncher];
  const atOnce = (): boolean => true;

  it('ends an evaluation whose rank 1 hangs while it opens model and data', async () => {
    await expectEnded(await withHungRank(launcher, ['evaluate', model, '--data', data], atOnce), 'all-');
  });
});
