import { describe, expect, it } from 'vitest';
import { ndArray, type Engine, type Network } from '@coda-nets/core';
import { measureAlignment } from '../src/index.ts';
import { spreadOf } from '../src/alignment.ts';

describe('spreadOf', () => {
  it('has the mean and the interpolated percentiles, and leaves its argument as it is', () => {
    const values = Float32Array.from({ length: 101 }, (_, i) => (i * 37) % 101);
    const before = values.slice();
    expect(spreadOf(values)).toEqual({ mean: 50, p5: 5, p50: 50, p95: 95 });
    expect(values).toEqual(before);
    const two = spreadOf(Float32Array.of(3, -1));
    expect(two.mean).toBe(1);
    expect(two.p50).toBe(1);
    expect(two.p5).toBeCloseTo(-0.8, 12);
    expect(two.p95).toBeCloseTo(2.8, 12);
    expect(spreadOf(Float32Array.of(0.5))).toEqual({ mean: 0.5, p5: 0.5, p50: 0.5, p95: 0.5 });
  });
});

describe('measureAlignment', () => {
  const resnet = { config: { kind: 'resnet' } } as unknown as Network;
  const coda = { config: { kind: 'coda' }, dynamicLinear: {} } as unknown as Network;
  const engine = undefined as unknown as Engine;
  const batch = ndArray('float32', [1], Float32Array.of(1));

  it.each<[string, object, string]>([
    [
      'a network without dynamic layers',
      { network: resnet, images: batch },
      'measureAlignment: network: this network has no dynamic linear layers; expected a CoDA network or a hybrid, got kind "resnet"',
    ],
    ['no images', { network: coda }, 'measureAlignment: nothing to measure on; expected images, got neither'],
    [
      'features of a network that has none',
      { network: coda, features: batch },
      'measureAlignment: nothing to measure on; expected images, got features, of which this network has none',
    ],
  ])('refuses %s', async (_, options, text) => {
    await expect(measureAlignment({ engine, weights: {}, ...options } as never)).rejects.toThrow(text);
  });
});
