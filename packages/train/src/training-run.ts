/** What the parts of one training share. Plain data, of which `state` alone changes; `train` makes it, `trainingLoop` goes on with it. */
import { sizeOf, type NamedArrays } from '@coda-nets/core';
import type { BadImages } from './bad-images.ts';
import type { CheckpointState } from './checkpoint.ts';
import type { BatchMaker } from './data/batch-maker.ts';
import type { Augmentation } from './data/augmentation.ts';
import type { BatchSampler } from './data/batch-sampler.ts';
import type { EpochContext } from './measure-epoch.ts';
import type { StepClock } from './step-clock.ts';
import type { TrainConfig } from './train-config.ts';
import type { TrainOptions, TrainResult } from './train-options.ts';
import type { Splits } from './train-start.ts';
import { noTrend } from './loss-trend.ts';
import { tellOfLength } from './run-length.ts';
import { noSums } from './training-sums.ts';

export interface TrainingRun {
  /** The data set is the one trained on, its classes selected. */
  readonly options: TrainOptions;
  readonly config: TrainConfig;
  readonly splits: Splits;
  readonly maker: BatchMaker;
  readonly recipe: EpochContext['recipe'] & { readonly augmentation: Augmentation };
  readonly sampler: BatchSampler;
  readonly totalSteps: number;
  readonly badImages: BadImages;
  readonly clock: StepClock;
  state: CheckpointState;
}

/** Of a run that has not begun. */
export function firstState({
  splits,
  options,
  config,
  sampler,
}: Pick<TrainingRun, 'splits' | 'options' | 'config' | 'sampler'>): CheckpointState {
  return {
    version: 1,
    step: 0,
    seed: config.seed,
    sampler: sampler.state,
    epochEndPending: false,
    interval: noSums,
    epoch: noSums,
    best: null,
    patience: null,
    stopped: false,
    trend: noTrend,
    validation: null,
    seconds: 0,
    dataFingerprint: splits.train.fingerprint,
    bad: [],
    engine: options.engine.name,
    epochs: config.epochs,
    lengths: [],
    ranks: options.group?.size ?? 1,
  };
}

/** At its last step, or stopped early; and the end of its epoch is done. */
export function isDone({ state, totalSteps }: TrainingRun): boolean {
  return (state.step === totalSteps || state.stopped) && !state.epochEndPending;
}

export function isAborted({ options }: TrainingRun): boolean {
  return options.signal?.aborted === true;
}

/** `weights`: those to be shown, averages where there are some. */
export function resultOf(run: TrainingRun, weights: NamedArrays): TrainResult {
  const { state, totalSteps, clock, badImages } = run;
  return {
    finished: isDone(run),
    step: state.step,
    totalSteps,
    weights,
    validation: state.validation ?? undefined,
    best: state.best ?? undefined,
    seconds: clock.seconds,
    bad: badImages.list,
    waiting: clock.waiting,
  };
}

/** Where a run goes on, before anything long is done. */
function tellOfResuming(run: TrainingRun): void {
  const { options, state, totalSteps } = run;
  if (options.resume !== true || state.step === 0 || (isDone(run) && !state.stopped)) return;
  const message = state.stopped
    ? `The run was stopped early, after step ${state.step} of ${totalSteps}: there is nothing to go on with.`
    : `Going on at step ${state.step} of ${totalSteps}.`;
  options.onEvent?.({ type: 'notice', message });
}

/** A warm-up that is as long as the run: its rate never comes to its peak. */
function tellOfWarmup({ options, config, totalSteps }: TrainingRun): void {
  const { warmup } = config.schedule;
  const updates = totalSteps / config.accumulate;
  if (warmup === 0 || warmup < updates) return;
  const message = `The warm-up of ${warmup} updates is as long as the run, which has ${updates}: the learning rate does not stay at its peak, or does not reach it.`;
  options.onEvent?.({ type: 'notice', message });
}

export function tellStart(run: TrainingRun): void {
  const { options, config, splits, state, totalSteps } = run;
  const { network, engine, onEvent } = options;
  const numbersOf = (frozen: boolean): number =>
    Object.values(network.weights)
      .filter(({ role }) => role === (frozen ? 'frozen' : 'parameter'))
      .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  onEvent?.({
    type: 'start',
    step: state.step,
    totalSteps,
    finished: isDone(run),
    epochs: config.epochs,
    trainImages: splits.train.length,
    validationImages: splits.validation?.length ?? 0,
    parameters: numbersOf(false),
    frozen: numbersOf(true),
    engine: engine.description,
  });
  tellOfResuming(run);
  tellOfLength(run);
  tellOfWarmup(run);
}
