/** Sums over training steps, of which the lines of metrics.jsonl are means. Plain data: they are part of a checkpoint. */
import type { CheckpointState } from './checkpoint.ts';

export type TrainingSums = CheckpointState['epoch'];

export const noSums: TrainingSums = { steps: 0, loss: 0, correct: 0, penalty: 0 };

export function addStep(sums: TrainingSums, { loss, correct, penalty }: Omit<TrainingSums, 'steps'>): TrainingSums {
  return { steps: sums.steps + 1, loss: sums.loss + loss, correct: sums.correct + correct, penalty: sums.penalty + penalty };
}

/** To thousandths: times and rates are not known better. */
export function rounded(x: number): number {
  return Math.round(x * 1000) / 1000;
}
