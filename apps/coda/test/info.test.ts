/** `coda info` on the presets of CoDA-Nets. */
import { runCli } from '../src/index.ts';
import { codaPresets } from '@coda-nets/dau';
import { useBackend } from '@coda-nets/tools/testkit';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, vi } from 'vitest';

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
