import { describe, expect, it } from 'vitest';
import { cheaperForm, codaPresets } from '../src/index.ts';

describe('cheaperForm', () => {
  it('never builds v in the published networks, whose ranks are small for their patches', () => {
    for (const preset of ['s-cifar10', 'l-imagenet100'] as const) {
      let channels = 6;
      for (const [i, { out, kernel, rank }] of codaPresets[preset].layers.entries()) {
        const d = kernel * kernel * channels;
        channels = out;
        // the last layer of S sees 64 numbers through rank 64: there both cost about the same
        if (d > 2 * rank || (i === 0 && preset === 's-cifar10')) expect([i, cheaperForm({ d, r: rank })]).toEqual([i, 'low-rank']);
      }
    }
  });

  it('builds v where the rank is large for the patch', () => {
    expect(cheaperForm({ d: 54, r: 144 })).toBe('explicit');
    expect(cheaperForm({ d: 1, r: 1000 })).toBe('explicit');
    expect(cheaperForm({ d: 1000, r: 1 })).toBe('low-rank');
  });
});
