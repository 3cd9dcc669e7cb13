import { expect, test } from 'vitest';
import { rowsWithin } from '../src/memory-budget.ts';

test('rows follow the size of the taps and the budget, from 1 to 256', () => {
  const taps = [
    { name: 'input', channels: 3, stride: 1, exact: false },
    { name: 'deep', channels: 8, stride: 4, exact: true },
  ];
  // 32 × 32 × 3 numbers 16 times, and 8 × 8 × 8 numbers 64 times, of 4 bytes.
  const bytes = 4 * (16 * 3072 + 64 * 512);
  const rows = (budget: number, imageSize: readonly [number, number] = [32, 32]): number =>
    rowsWithin({ network: { taps }, imageSize, budget });
  expect(rows(10 * bytes)).toBe(10);
  expect(rows(10 * bytes - 1)).toBe(9);
  expect(rows(40 * bytes, [64, 64])).toBe(10);
  expect(rows(0)).toBe(1);
  expect(rows(2 ** 40)).toBe(256);
});
