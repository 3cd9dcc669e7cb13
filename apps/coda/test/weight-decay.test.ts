/** Weight decay holds for kernels and matrices, and for no bias, norm or statistic, in every kind of network. */
import type { JsonObject } from '@coda-nets/core';
import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../src/index.ts';

const backbone = { kind: 'resnet', depth: 8, width: 4 } as const;
const head = { temperature: 8, layers: [{ out: 10, kernel: 3, rank: 3 }] };
const networks: Readonly<Record<string, object>> = {
  resnet: backbone,
  'resnet, folded': { ...backbone, batchNorm: 'folded' },
  'resnet of bottlenecks': { kind: 'resnet', design: 'imagenet', depth: 50, width: 4 },
  coda: { kind: 'coda', inputShape: [8, 8, 3], layers: head.layers, temperature: 8, classes: 10 },
  'coda of efficient units': { kind: 'coda', inputShape: [8, 8, 3], layers: head.layers, norm: 'frobenius', temperature: 8, classes: 10 },
  'hybrid, stem trained': { kind: 'hybrid', backbone, cut: 'layer2.0', stem: 'trained', head, classes: 10 },
};

describe.each(Object.entries(networks))('%s', (_, config) => {
  it('decays kernels and matrices alone', () => {
    const { weights } = buildNetwork(config as JsonObject, 'test');
    const trained = Object.entries(weights).filter(([, { role }]) => role === 'parameter');
    expect(trained.some(([, { decay }]) => decay)).toBe(true);
    for (const [name, { decay, shape }] of trained) {
      const isKernel = /\.(A|B)$/.test(name) || (name.endsWith('.weight') && shape.length > 1);
      expect([name, decay]).toEqual([name, isKernel]);
    }
    for (const [name, { role, decay }] of Object.entries(weights)) if (role !== 'parameter') expect([name, decay]).toEqual([name, false]);
  });
});
