/** The code of the repository's README is the example's, and the example runs. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cifar10ClassNames, syntheticDataset, writeCifar10 } from '@coda-nets/train';
import { expect, onTestFinished, test, vi } from 'vitest';

const text = (path: string): Promise<string> => readFile(new URL(path, import.meta.url), 'utf8');

test('the README shows the example and the command that runs it', async () => {
  const readme = await text('../../../README.md');
  expect(readme).toContain(`\`\`\`js\n${await text('../examples/explain.mjs')}\`\`\``);
  expect(readme).toContain('node apps/coda/examples/explain.mjs');
});

test('the example of the training package trains', async () => {
  expect(await text('../../../packages/train/README.md')).toContain(`\`\`\`ts\n${await text('readme-train-example.ts')}\`\`\``);
  const folder = await mkdtemp(join(tmpdir(), 'coda-readme-'));
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  onTestFinished(async () => {
    log.mockRestore();
    await rm(folder, { recursive: true, force: true });
  });
  const { trainSmall } = await import('./readme-train-example.ts');
  expect(await trainSmall(join(folder, 'run'))).toBe(8);
  expect(log.mock.calls.map(([epoch, loss]) => [epoch, loss > 0])).toEqual([
    [1, true],
    [2, true],
  ]);
});

test('the example explains images of CIFAR-10, and without them says how to get them', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'coda-readme-'));
  const before = process.cwd();
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  vi.stubEnv('CODA_DATA', cache);
  onTestFinished(async () => {
    log.mockRestore();
    vi.unstubAllEnvs();
    process.chdir(before);
    await rm(cache, { recursive: true, force: true });
  });
  process.chdir(fileURLToPath(new URL('../../..', import.meta.url)));
  // a query each: a module is run once
  await expect(import('../examples/explain.mjs?without' as '../examples/explain.mjs')).rejects.toThrow(
    `openDataset: cifar10: not fetched yet: there is no ${join(cache, 'cifar10')}. Run \`coda data fetch cifar10\`.`,
  );
  await writeCifar10(join(cache, 'cifar10'), syntheticDataset({ classes: 10, perClass: 1, testPerClass: 1 }));
  await import('../examples/explain.mjs?with' as '../examples/explain.mjs');
  const lines = log.mock.calls.map(([name, value, kind]) => [name, value, String(kind).replace(/[\d.]+(e-\d+)?$/, 'r')]);
  const taps = lines.filter(([name]) => !(cifar10ClassNames as readonly unknown[]).includes(name));
  expect(lines.length - taps.length).toBe(2);
  expect(taps.slice(0, taps.length / 2)).toEqual(taps.slice(taps.length / 2));
  expect(taps[0]).toEqual(['input', [32, 32], 'gradient × activation']);
  expect(taps.slice(taps.length / 2 - 4, taps.length / 2)).toEqual([
    ['layer2.2', [16, 16], 'exact, residual r'],
    ['head.0', [8, 8], 'exact, residual r'],
    ['head.1', [8, 8], 'exact, residual r'],
    ['head.2', [8, 8], 'exact, residual r'],
  ]);
});

test('the example explains every layer of a model of one’s own', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  onTestFinished(() => log.mockRestore());
  await import('../examples/own-network.mjs');
  const maps = log.mock.calls.map(([method, tap, shape]) => `${String(method)} ${String(tap)} ${String(shape)}`);
  const taps = ['input 2,16,16', 'edges 2,16,16', 'pool 2,8,8', 'parts 2,8,8'];
  expect(maps).toEqual(['inputXGradient', 'deepLift', 'occlusion'].flatMap((method) => taps.map((tap) => `${method} ${tap}`)));
});
