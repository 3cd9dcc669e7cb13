import { describe, expect, it } from 'vitest';
import { cheaperForm, codaPresets } from '../src/index.ts';

describe('cheaperForm', () => {
  it('never builds v in the published networks, whose ranks are small for their patches', () => {
    const forms = (['s-cifar10', 'l-imagenet100'] as const).map((preset) => {
      const { layers } = codaPresets[preset];
      // the last layer of S sees 64 numbers through rank 64: there both cost about the same
      const all = layers.map(({ kernel, rank }, i) => cheaperForm({ d: kernel * kernel * (layers[i - 1]?.out ?? 6), r: rank }));
      return new Set(preset === 's-cifar10' ? all.slice(0, -1) : all);
    });
    expect(forms).toEqual([new Set(['low-rank']), new Set(['low-rank'])]);
  });

  it('builds v where the rank is large for the patch', () => {
    expect(cheaperForm({ d: 54, r: 144 })).toBe('explicit');
    expect(cheaperForm({ d: 1, r: 1000 })).toBe('explicit');
    expect(cheaperForm({ d: 1000, r: 1 })).toBe('low-rank');
  });
});
