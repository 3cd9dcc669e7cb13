/** What `coda bench depth` measures, and what it is to reach. */
import type { JsonObject } from '@coda-nets/core';

/** Along each side of the grid. */
export const CELLS = 3;
const QUICK_MASKS = 600;

export interface DepthBenchWork {
  readonly id: string;
  readonly label: string;
  /** Of the twin's time over ours. */
  readonly goal: number;
  /** What one call is, for a rate by the minute. */
  readonly unit: 'grids' | 'images';
  /** Names and kinds of the twin's ways to do it; the goal is against the first. */
  readonly twins: readonly { readonly name: string; readonly kind: string }[];
  readonly parameters: (quick: boolean) => JsonObject;
}

export const depthWorks: readonly DepthBenchWork[] = [
  {
    id: 'profile',
    label: 'profile of a grid, 12 taps, 9 classes, 96×96',
    goal: 5,
    unit: 'grids',
    twins: [
      { name: 'tap by tap', kind: 'profile' },
      { name: 'one pass', kind: 'profile-one-pass' },
    ],
    parameters: () => ({ n: CELLS }),
  },
  {
    id: 'rise',
    label: 'RISE at the input',
    goal: 1.5,
    unit: 'images',
    twins: [{ name: 'PyTorch', kind: 'rise' }],
    parameters: (quick) => ({ masks: quick ? QUICK_MASKS : 6000, cells: 6, p: 0.1 }),
  },
  {
    id: 'intgrad',
    label: 'IntGrad at the input',
    goal: 1.5,
    unit: 'images',
    twins: [{ name: 'PyTorch', kind: 'intgrad' }],
    parameters: () => ({ steps: 50 }),
  },
];
