/** The learning rate over a run, as a pure function of the update. JSON-able config; no state. */

export type ScheduleConfig = (
  | { readonly kind: 'constant' }
  /** η · factor^k, k = how many of `milestones`, given in shares of the run, have been reached. */
  | { readonly kind: 'step'; readonly milestones: readonly number[]; readonly factor: number }
  /** From η to η · end along a line. */
  | { readonly kind: 'linear'; readonly end: number }
  /** From η down to η · end along half a cosine (Loshchilov and Hutter, arXiv 1608.03983, equation 5, one period). */
  | { readonly kind: 'cosine'; readonly end: number }
  /** η · start up to η at the share `peak` of the run, then down to η · end, both along half a cosine (after Smith, arXiv 1708.07120). */
  | { readonly kind: 'one-cycle'; readonly peak: number; readonly start: number; readonly end: number }
) & {
  /** Updates over which the rate rises linearly from η / warmup to what the schedule says (arXiv 1706.02677, section 2.2); 0: none. */
  readonly warmup: number;
};

/**
 * The learning rate of update `step` (from 0) of `totalSteps`, peak rate `learningRate`. The first update of a schedule is at its start, the
 * last one (step = totalSteps − 1) at its end: p = step / (totalSteps − 1).
 */
export function learningRateAt(schedule: ScheduleConfig, learningRate: number, step: number, totalSteps: number): number {
  const rate = learningRate * shareAt(schedule, totalSteps > 1 ? Math.min(1, step / (totalSteps - 1)) : 0, step / totalSteps);
  return step < schedule.warmup ? (rate * (step + 1)) / schedule.warmup : rate;
}

/** `progress`: 0 at the first update, 1 at the last. `done`: the share of updates that came before. */
function shareAt(schedule: ScheduleConfig, progress: number, done: number): number {
  switch (schedule.kind) {
    case 'constant':
      return 1;
    case 'step':
      return schedule.factor ** schedule.milestones.filter((milestone) => done >= milestone).length;
    case 'linear':
      return 1 + (schedule.end - 1) * progress;
    case 'cosine':
      return halfCosine(1, schedule.end, progress);
    case 'one-cycle':
      return oneCycle(schedule, progress);
    default:
      return schedule satisfies never;
  }
}

function oneCycle({ peak, start, end }: Extract<ScheduleConfig, { kind: 'one-cycle' }>, progress: number): number {
  if (progress < peak) return halfCosine(start, 1, progress / peak);
  return peak === 1 ? 1 : halfCosine(1, end, (progress - peak) / (1 - peak));
}

/** From a at p = 0 to b at p = 1. */
function halfCosine(a: number, b: number, p: number): number {
  return b + ((a - b) * (1 + Math.cos(Math.PI * p))) / 2;
}
