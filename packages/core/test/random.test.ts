import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodaError, Random } from '../src/index.ts';

const draw = (random: Random, n: number): number[] => Array.from({ length: n }, () => random.uint32());

describe('Random', () => {
  // Computed with unbounded integers in Python from the published definitions of xoshiro128** 1.1 and SplitMix32.
  it.each([
    [0, [3809008728, 1133695204, 53579671, 2891528803, 139681546, 2203266335]],
    [1, [2442144158, 3238099751, 3819917871, 2104621829, 2021136066, 4223536128]],
    [4294967295, [835879718, 1921286648, 2356205009, 1885780724, 980451116, 1053911718]],
    [12345, [518667457, 440444462, 4232892992, 3757857622, 3939018813, 1334683535]],
  ])('draws the numbers of its definition, seed %i', (seed, expected) => {
    expect(draw(Random.seeded(seed), 6)).toEqual(expected);
  });

  it('draws the thousandth number of its definition', () => {
    expect(draw(Random.seeded(12345), 1000).at(-1)).toBe(3995569580);
  });

  it('splits as defined: by characters, by kind of label, and again', () => {
    expect(draw(Random.seeded(12345).split('fc.weight'), 3)).toEqual([3644732859, 2591072351, 3472897246]);
    expect(draw(Random.seeded(12345).split(7), 3)).toEqual([2553854657, 787517487, 3027208806]);
    const twice = Random.seeded(0).split('a').split('\u{1f600}');
    expect(draw(twice, 3)).toEqual([2267157922, 4232589456, 4226551815]);
  });

  it('splits the same whatever was drawn before, and different by label, kind of label and seed', () => {
    const random = Random.seeded(3);
    const first = draw(random.split('a'), 4);
    draw(random, 17);
    expect(draw(random.split('a'), 4)).toEqual(first);
    const streams = [
      random.split('b'),
      random.split('7'),
      random.split(7),
      random.split('ab'),
      random.split('ba'),
      Random.seeded(4).split('a'),
    ];
    const texts = [first, ...streams.map((stream) => draw(stream, 4))].map(String);
    expect(new Set(texts).size).toBe(7);
  });

  it('has split streams that do not correlate', () => {
    const n = 20_000;
    const [a, b] = [Random.seeded(5).split(0), Random.seeded(5).split(1)];
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (a.uniform() - 0.5) * (b.uniform() - 0.5);
    // The correlation of n independent pairs has deviation 1/√n.
    expect(Math.abs((12 * sum) / n)).toBeLessThan(4 / Math.sqrt(n));
  });

  it('goes on from its state, through JSON, with the same numbers and the same splits', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.nat(50), (seed, drawn) => {
        const random = Random.seeded(seed);
        draw(random, drawn);
        const again = Random.fromState(JSON.parse(JSON.stringify(random.state)));
        expect(draw(again.split('x'), 2)).toEqual(draw(random.split('x'), 2));
        expect(draw(again, 5)).toEqual(draw(random, 5));
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  it('is uniform: 16 bins of the top and of the bottom bits fill evenly', () => {
    const n = 64_000;
    for (const [bits, random] of [
      [28, Random.seeded(1)],
      [0, Random.seeded(2)],
    ] as const) {
      const bins = new Float64Array(16);
      for (let i = 0; i < n; i++) bins[(random.uint32() >>> bits) & 15]! += 1;
      const chiSquared = bins.reduce((sum, count) => sum + (count - n / 16) ** 2 / (n / 16), 0);
      // 15 degrees of freedom: 99.99 % of uniform generators stay below 44.3, and few come below 2.
      expect(chiSquared).toBeLessThan(44.3);
      expect(chiSquared).toBeGreaterThan(2);
    }
  });

  it('draws uniform in [0, 1) and normal with mean 0 and deviation 1', () => {
    const random = Random.seeded(8);
    const n = 50_000;
    const uniform = Array.from({ length: n }, () => random.uniform());
    expect(uniform.every((x) => x >= 0 && x < 1)).toBe(true);
    const normal = Array.from({ length: n }, () => random.normal());
    const mean = normal.reduce((sum, x) => sum + x, 0) / n;
    const variance = normal.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n;
    const fourth = normal.reduce((sum, x) => sum + (x - mean) ** 4, 0) / n;
    // Four deviations of each estimate: 1/√n, √(2/n), √(96/n).
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
    expect(Math.abs(fourth - 3)).toBeLessThan(4 * Math.sqrt(96 / n));
  });

  it('permutes: every number once, every order of three equally often', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(200), (seed, n) => {
        const sorted = Array.from(Random.seeded(seed).permutation(n)).toSorted((a, b) => a - b);
        expect(sorted).toEqual(Array.from({ length: n }, (_, i) => i));
      }),
      { numRuns: 50, seed: 1 },
    );
    const random = Random.seeded(9);
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = random.permutation(3).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // 1000 expected, deviation 29.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(4 * 29);
  });

  it('draws below n without modulo bias', () => {
    const random = Random.seeded(10);
    // x mod n would give the lower half twice as often as the upper.
    const n = 3 * 2 ** 30;
    let low = 0;
    for (let i = 0; i < 10_000; i++) low += random.below(n) < 2 ** 30 ? 1 : 0;
    // A third, deviation 47.
    expect(Math.abs(low - 3333)).toBeLessThan(4 * 47);
    expect(random.below(1)).toBe(0);
  });

  it.each([
    [() => Random.seeded(-1), 'Random.seeded: seed: not a seed; expected an integer from 0 to 4294967295, got -1'],
    [() => Random.seeded(0.5), 'Random.seeded: seed: not a seed; expected an integer from 0 to 4294967295, got 0.5'],
    [() => Random.seeded(2 ** 32), 'Random.seeded: seed: not a seed; expected an integer from 0 to 4294967295, got 4294967296'],
    [() => Random.seeded(1).below(0), 'Random.below: n: no number is below n; expected an integer from 1 to 4294967296, got 0'],
  ])('refuses what it cannot use', (call, text) => {
    expect(call).toThrow(text);
    expect(call).toThrow(CodaError);
  });
});
