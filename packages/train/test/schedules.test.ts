/** Closed forms of the schedules at chosen steps. 101 updates: update k is at k % of the way. */
import { describe, expect, it } from 'vitest';
import { learningRateAt, type ScheduleConfig } from '../src/index.ts';

const peakRate = 0.4;
const at = (schedule: ScheduleConfig, step: number, total = 101): number => learningRateAt(schedule, peakRate, step, total);
const root = Math.SQRT1_2;

describe('learningRateAt', () => {
  it.each<[string, ScheduleConfig, readonly (readonly [step: number, share: number])[]]>([
    [
      'constant',
      { kind: 'constant', warmup: 0 },
      [
        [0, 1],
        [50, 1],
        [100, 1],
      ],
    ],
    [
      'linear: down a line',
      { kind: 'linear', end: 0.2, warmup: 0 },
      [
        [0, 1],
        [25, 0.8],
        [50, 0.6],
        [100, 0.2],
      ],
    ],
    [
      'cosine: cos of 0, 45, 90, 135 and 180 degrees',
      { kind: 'cosine', end: 0.1, warmup: 0 },
      [
        [0, 1],
        [25, 0.1 + (0.9 * (1 + root)) / 2],
        [50, 0.55],
        [75, 0.1 + (0.9 * (1 - root)) / 2],
        [100, 0.1],
      ],
    ],
    [
      'one-cycle: up to its peak, then down',
      { kind: 'one-cycle', peak: 0.2, start: 0.04, end: 0.01, warmup: 0 },
      [
        [0, 0.04],
        [5, 0.04 + (0.96 * (1 - root)) / 2],
        [10, 0.52],
        [20, 1],
        [40, 0.01 + (0.99 * (1 + root)) / 2],
        [60, 0.505],
        [100, 0.01],
      ],
    ],
    [
      'one-cycle with its peak at the end',
      { kind: 'one-cycle', peak: 1, start: 0, end: 0.01, warmup: 0 },
      [
        [0, 0],
        [50, 0.5],
        [100, 1],
      ],
    ],
    [
      'one-cycle with its peak at the start',
      { kind: 'one-cycle', peak: 0, start: 0, end: 0, warmup: 0 },
      [
        [0, 1],
        [50, 0.5],
        [100, 0],
      ],
    ],
    [
      'a warm-up: a tenth more at each update, then the schedule',
      { kind: 'constant', warmup: 10 },
      [
        [0, 0.1],
        [4, 0.5],
        [8, 0.9],
        [9, 1],
        [10, 1],
        [11, 1],
        [100, 1],
      ],
    ],
    [
      'a warm-up times the schedule',
      { kind: 'cosine', end: 0, warmup: 51 },
      [
        [0, 1 / 51],
        [25, ((26 / 51) * (1 + root)) / 2],
        [50, 0.5],
        [75, (1 - root) / 2],
      ],
    ],
  ])('%s', (_, schedule, points) => {
    for (const [step, share] of points) expect([step, at(schedule, step)]).toEqual([step, expect.closeTo(peakRate * share, 12)]);
  });

  it('drops by the factor at the first update of each milestone, in any order of milestones', () => {
    const schedule: ScheduleConfig = { kind: 'step', milestones: [0.75, 0.5], factor: 0.1, warmup: 0 };
    const shares = Array.from({ length: 8 }, (_, step) => at(schedule, step, 8) / peakRate);
    for (const [step, share] of [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01].entries()) expect(shares[step]).toBeCloseTo(share, 12);
  });

  it('of a run of one update is at its start', () => {
    expect(at({ kind: 'cosine', end: 0, warmup: 0 }, 0, 1)).toBe(peakRate);
  });
});
