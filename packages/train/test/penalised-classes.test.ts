import { describe, expect, it } from 'vitest';
import { Random } from '@coda-nets/core';
import { penalisedClasses } from '../src/training-batches.ts';

describe('penalisedClasses', () => {
  it('begins with the label and goes on with distinct others', () => {
    const labels = Int32Array.from({ length: 200 }, (_, i) => i % 7);
    for (const perImage of [1, 2, 5, 7]) {
      const { shape, data } = penalisedClasses(labels, perImage, 7, Random.seeded(1));
      expect(shape).toEqual([200, perImage]);
      for (const [i, label] of labels.entries()) {
        const classes = data.slice(i * perImage, (i + 1) * perImage);
        expect(classes[0]).toBe(label);
        expect(new Set(classes).size).toBe(perImage);
        expect(classes.every((c) => c >= 0 && c < 7)).toBe(true);
      }
    }
  });

  it('draws every pair of others equally often, and the same from the same stream', () => {
    const labels = new Int32Array(6000).fill(2);
    const draw = () => penalisedClasses(labels, 3, 5, Random.seeded(3)).data;
    expect(draw()).toEqual(draw());
    const counts = new Map<string, number>();
    const drawn = draw();
    for (let i = 0; i < labels.length; i++) {
      const pair = `${drawn[i * 3 + 1]},${drawn[i * 3 + 2]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
    // 4·3 ordered pairs, 500 each; 5 standard deviations of a binomial are 107
    expect(counts.size).toBe(12);
    for (const count of counts.values()) expect(Math.abs(count - 500)).toBeLessThan(107);
  });
});
