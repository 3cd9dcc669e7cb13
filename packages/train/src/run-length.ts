/**
 * A run that goes on with another number of epochs than it had: with more it is extended. Its schedule is recomputed over the new length, at the step where it is; what it had before
 * stays written in its checkpoints and models, because a run that was extended is not one that was as long from the start.
 */
import { CodaError } from '@coda-nets/core';
import type { CheckpointState } from './checkpoint.ts';
import { learningRateAt } from './schedules.ts';
import type { TrainConfig } from './train-config.ts';
import type { TrainingRun } from './training-run.ts';

/** The state with the number of epochs that there are now. Throws a CodaError where more than that were begun. */
export function withEpochs(state: CheckpointState, epochs: number, batchesPerEpoch: number): CheckpointState {
  const begun = Math.ceil(state.step / batchesPerEpoch);
  if (epochs < begun) {
    throw new CodaError({
      kind: 'argument',
      where: 'train: config: epochs',
      problem: `the run to resume is in epoch ${begun} already`,
      expected: `at least ${begun}`,
      got: String(epochs),
    });
  }
  if (state.epochs === undefined || state.epochs === epochs) return { ...state, epochs };
  return { ...state, epochs, lengths: [...state.lengths, { step: state.step, epochs: state.epochs }] };
}

/** Says that there are more or fewer epochs than before, and what that makes of the learning rate. */
export function tellOfLength({ options, config, state, totalSteps }: TrainingRun): void {
  const last = state.lengths.at(-1);
  if (options.resume !== true || last?.step !== state.step || state.stopped) return;
  const { epochs, accumulate } = config;
  const rate = (ofEpochs: number): string => rateAt(config, state.step, (totalSteps / accumulate / epochs) * ofEpochs).toPrecision(3);
  // past the last step of the length before there was no rate
  const before = state.step < (totalSteps / epochs) * last.epochs ? ` instead of ${rate(last.epochs)}` : '';
  const message = `The run has ${epochs} epochs instead of ${last.epochs}, and its schedule is that of ${epochs}: the learning rate is ${rate(epochs)}${before} from here.`;
  options.onEvent?.({ type: 'notice', message });
}

function rateAt({ schedule, learningRate, accumulate }: TrainConfig, step: number, updates: number): number {
  return learningRateAt(schedule, learningRate, Math.floor(step / accumulate), updates);
}
