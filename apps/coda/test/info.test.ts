/** `coda info` on the presets of CoDA-Nets. */
import { runCli } from '../src/index.ts';
import { codaPresets } from '@coda-nets/dau';
import { useBackend } from '@coda-nets/tools/testkit';
import { readModel, writeModel } from '@coda-nets/core/node';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';

beforeAll(() => useBackend('cpu'));

async function info(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true)),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true)),
  ];
  try {
    return { code: await runCli(['info', ...args]), out, err };
  } finally {
    process.exitCode = 0;
    for (const spy of spies) spy.mockRestore();
  }
}

describe('coda info', () => {
  it.each([
    ['coda-s-cifar10', 7_782_816, 1000],
    ['coda-s-cifar10-t10000', 7_782_816, 10_000],
    ['coda-s-cifar10-rank4', 1_076_984, 1000],
    ['coda-s-cifar10-rank144', 34_606_144, 1000],
    ['coda-m-tinyimagenet', 27_942_368, 1000],
    ['coda-l-imagenet100', 47_517_408, 100_000],
  ])('%s: %i parameters, T = %i', async (name, parameters, temperature) => {
    const { code, out } = await info(name, '--json');
    expect(code).toBe(0);
    const result = JSON.parse(out);
    expect(result.parameters).toBe(parameters);
    expect(result.config.temperature).toBe(temperature);
    expect(result.taps).toHaveLength(10);
    expect((await info(name)).out).toContain(`parameters: ${parameters.toLocaleString('en')} trained, 0 frozen`);
  });

  it.each([
    // multiply-adds of the convolutions and the linear layer, in 10⁹: torchvision's `_ops` (GFLOPS) of each
    ['resnet18', 1.814, 11],
    ['resnet50', 4.089, 19],
    ['resnext50-32x4d', 4.23, 19],
  ])('%s: %d billion multiply-adds, and what its taps see', async (name, billions, taps) => {
    const { code, out } = await info(name, '--json');
    expect(code).toBe(0);
    const result = JSON.parse(out);
    expect(Number((result.multiplyAdds / 1e9).toFixed(2))).toBe(Number(billions.toFixed(2)));
    expect(result.taps).toHaveLength(taps);
    expect((await info(name)).out).toMatch(/layer4\.\d +7×7 +\d+ +(435×435|427×427) +gradient × activation/);
  });

  it('counts memory: of a network of one unit a class, by hand', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'coda-info-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'one.json');
    const layers = [{ out: 3, kernel: 1, rank: 2 }];
    await writeFile(path, JSON.stringify({ kind: 'coda', inputShape: [4, 4, 3], layers, temperature: 1, classes: 3 }));
    const of = async (batch: number) => JSON.parse((await info(path, '--batch', String(batch), '--json')).out).memory;
    const [one, five] = [await of(1), await of(5)];
    // d·r + r·n·d + n·d with d = 6, r = 2, n = 3; beside them a gradient and two moments
    const weights = 4 * (12 + 36 + 18);
    expect([one.weights, five.weights, one.slots]).toEqual([weights, weights, 2]);
    // what does not depend on the batch is weights and what is made of them
    expect(five.inference).toBeGreaterThan(weights + 4 * 5 * 16 * 6);
    expect(five.training - one.training).toBeGreaterThanOrEqual(4 * (4 * 4 * 16 * 6));
    expect(one.training).toBeGreaterThan(4 * weights);
    expect((await info(path, '--batch', '5')).out).toMatch(/^memory at batch 5: weights 0\.0 MB; predicting /m);
  });

  it('says where the weights of a file are not those of its config', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'coda-info-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const shipped = fileURLToPath(new URL('../models/resnet20-cifar10.safetensors', import.meta.url));
    expect((await info(shipped)).out).toMatch(/^weights: \d+ arrays, each as the config has it$/m);
    const model = await readModel(shipped);
    const { 'fc.bias': _bias, ...weights } = model.weights;
    const path = join(folder, 'less.safetensors');
    await writeModel(path, { ...model, weights });
    const { code, out, err } = await info(path);
    expect([code, err]).toEqual([1, `error: ${path}: the weights are not this network's: missing fc.bias\n`]);
    expect(out).toContain('multiply-adds: ');
    expect(JSON.parse((await info(path, '--json')).out)).toMatchObject({
      weightsFit: false,
      weightsDiffer: "the weights are not this network's: missing fc.bias",
    });
  });

  it('prints the card of the ResNet-20 that comes with the command', async () => {
    const path = fileURLToPath(new URL('../models/resnet20-cifar10.safetensors', import.meta.url));
    const { out } = await info(path);
    for (const line of [
      /^data: CIFAR-10/m,
      /^recipe: 24 epochs/m,
      /^accuracy: top-1 90\.03 %/m,
      /^hardware: 2 /m,
      /^licence: Apache-2\.0$/m,
      /^limit: /m,
    ]) {
      expect(out).toMatch(line);
    }
    expect(JSON.parse((await info(path, '--json')).out).card.accuracy).toHaveLength(1);
  });

  it('lists every preset where a name is none, and the nearest one', async () => {
    const { code, err } = await info('coda-s-cifar10-rank5');
    expect(code).toBe(2);
    for (const name of Object.keys(codaPresets)) expect(err).toContain(`coda-${name}`);
    expect(err).toMatch(/Did you mean coda-s-cifar10-rank[48]\?/);
  });
});
