/** Whether the loss of a run has left for good: its mean over the last steps against the lowest such mean. Pure; the state is part of a checkpoint. */
import type { CheckpointState } from './checkpoint.ts';
import type { TrainConfig } from './train-config.ts';

export type LossTrend = CheckpointState['trend'];

export const noTrend: LossTrend = { steps: 0, mean: 0, lowest: 0 };

/**
 * m_t = m_{t−1} + (loss_t − m_{t−1}) / min(t, n) for n = `steps`: the mean of the first n losses, then an exponential one over about n. Lowest: min m_t from
 * t = n on, since before it is the mean of too few. With one loss alone a batch that happens to be easy would make every other look like a divergence.
 */
export function nextTrend({ steps, mean, lowest }: LossTrend, loss: number, { steps: window }: { readonly steps: number }): LossTrend {
  const next = mean + (loss - mean) / Math.min(steps + 1, window);
  const counts = steps + 1 >= window;
  return { steps: steps + 1, mean: next, lowest: counts && (steps + 1 === window || next < lowest) ? next : lowest };
}

/** m_t > factor · max(lowest, floor); never before n steps. Beside a loss near 0, without a floor, any other looks like a divergence. */
export function diverges(trend: LossTrend, { factor, steps, floor }: NonNullable<TrainConfig['divergence']>): boolean {
  return trend.steps > steps && trend.mean > factor * Math.max(trend.lowest, floor);
}
