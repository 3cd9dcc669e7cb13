/** The learning rate as a share of its peak, a pure function of the step. */

export type ScheduleConfig =
  | { readonly kind: 'constant' }
  /** Linear from `startFactor` to 1 over the first `warmup` share of all steps, then half a cosine down to `endFactor`. */
  | { readonly kind: 'one-cycle'; readonly warmup: number; readonly startFactor: number; readonly endFactor: number }
  /** Times `factor` after every `everyEpochs` epochs. */
  | { readonly kind: 'step'; readonly everyEpochs: number; readonly factor: number };

export interface ScheduleTime {
  /** From 0. */
  readonly step: number;
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
}

export function learningRateFactor(schedule: ScheduleConfig, { step, totalSteps, stepsPerEpoch }: ScheduleTime): number {
  switch (schedule.kind) {
    case 'constant':
      return 1;
    case 'step':
      return schedule.factor ** Math.floor(step / stepsPerEpoch / schedule.everyEpochs);
    case 'one-cycle': {
      const { warmup, startFactor, endFactor } = schedule;
      const rising = warmup * totalSteps;
      if (step < rising) return startFactor + (1 - startFactor) * (step / rising);
      const share = (step - rising) / Math.max(1, totalSteps - rising);
      return endFactor + (1 - endFactor) * 0.5 * (1 + Math.cos(Math.PI * share));
    }
  }
}
