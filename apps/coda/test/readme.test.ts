/** The code of the repository's README is the example's, and the example runs on what the demo leaves. */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initWeights, Random } from '@coda-nets/core';
import { writeFileAtomic, writeModel } from '@coda-nets/core/node';
import { encodePng } from '@coda-nets/depth';
import { hybrid } from '@coda-nets/hybrid';
import { cifar10ClassNames } from '@coda-nets/train';
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

test('the example explains an image of the demo', async () => {
  const root = await mkdtemp(join(tmpdir(), 'coda-readme-'));
  const before = process.cwd();
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  onTestFinished(async () => {
    log.mockRestore();
    process.chdir(before);
    await rm(root, { recursive: true, force: true });
  });
  // as small as a hybrid gets, in the places of the demo's files
  const network = hybrid({
    kind: 'hybrid',
    backbone: { kind: 'resnet', depth: 8, width: 4 },
    cut: 'layer2.0',
    head: { temperature: 64, layers: [{ out: 10, kernel: 3, stride: 2, rank: 4 }] },
    classes: 10,
  });
  await mkdir(join(root, 'runs/demo/images'), { recursive: true });
  await writeModel(join(root, 'runs/demo/hybrid.safetensors'), {
    config: network.config,
    preprocessing: { size: [32, 32], layout: 'rgb', range: [0, 1] },
    classNames: cifar10ClassNames,
    weights: initWeights(network, Random.seeded(1)),
  });
  const data = Uint8Array.from({ length: 32 * 32 * 4 }, (_, i) => (i % 4 === 3 ? 255 : (37 * i) % 251));
  await writeFileAtomic(join(root, 'runs/demo/images/00-cat.png'), await encodePng({ width: 32, height: 32, data }));
  process.chdir(root);
  await import('../examples/explain.mjs');
  const [first, ...taps] = log.mock.calls;
  expect(cifar10ClassNames).toContain(first?.[0]);
  expect(first?.[1]).toBeGreaterThan(0);
  expect(taps.map(([name, shape, kind]) => [name, shape, String(kind).replace(/[\d.]+(e-\d+)?$/, 'r')])).toEqual([
    ['input', [32, 32], 'gradient × activation'],
    ['conv1', [32, 32], 'gradient × activation'],
    ['layer1.0', [32, 32], 'gradient × activation'],
    ['layer2.0', [16, 16], 'exact, residual r'],
    ['head.0', [8, 8], 'exact, residual r'],
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
