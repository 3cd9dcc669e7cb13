import { describe, expect, it } from 'vitest';
import { sizeOf } from '@coda-nets/core';
import { codaNetwork, codaPresets } from '../src/index.ts';

describe('codaPresets', () => {
  it.each([
    ['s-cifar10', 7_782_816],
    ['m-tinyimagenet', 27_942_368],
    ['l-imagenet100', 47_517_408],
  ] as const)('%s has as many parameters as published', (name, parameters) => {
    const { weights } = codaNetwork(codaPresets[name]);
    expect(Object.values(weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(parameters);
  });
});
