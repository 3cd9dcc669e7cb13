/** The loop over a run's steps: a batch is fed, what came is counted and told, checkpoints are written when they are due. */
import type { Compiled, NamedArrays } from '@coda-nets/core';
import { endEpoch } from './end-epoch.ts';
import type { KeptFeatures } from './kept-features.ts';
import { diverges, nextTrend } from './loss-trend.ts';
import type { RunWriter } from './run-writer.ts';
import { learningRateAt } from './schedules.ts';
import { residualBranches } from './stochastic-depth.ts';
import { trainingBatches, type TrainingBatch } from './training-batches.ts';
import { isAborted, isDone, resultOf, type TrainingRun } from './training-run.ts';
import type { TrainingStep } from './training-step.ts';
import { addStep, noSums, rounded } from './training-sums.ts';
import type { TrainResult } from './train-options.ts';

interface LoopParts {
  readonly step: TrainingStep;
  readonly compiled: Compiled;
  readonly writer: RunWriter;
  readonly features: KeptFeatures;
}

/** What one step gave, beside the weights it left in the engine. */
interface StepFigures {
  readonly loss: number;
  readonly correct: number;
  readonly penalty: number | undefined;
  readonly learningRate: number;
}

/** Goes on from `run.state` to the end, or to where it is told to stop; then what was not yet saved is. */
export async function trainingLoop(run: TrainingRun, parts: LoopParts): Promise<TrainResult> {
  const { writer, features } = parts;
  const { sampler, splits, recipe, maker, config, options, clock, totalSteps } = run;
  const penalty = config.linearMapPenalty && { perImage: config.linearMapPenalty.classes, of: options.network.classes };
  const branches = config.stochasticDepth === 0 ? 0 : residualBranches(options.network).length;
  const depth = branches === 0 ? undefined : { branches, drop: config.stochasticDepth };
  const part = options.group;
  const source = { sampler, split: splits.train, recipe, maker, features: features.train, penalty, depth, ...(part && { part }) };
  const batches = trainingBatches(source, totalSteps - run.state.step);
  clock.lap();
  for (;;) {
    if (run.state.epochEndPending) {
      if (!(await endEpoch(run, writer, features))) break;
      clock.lap();
    }
    if (isDone(run) || isAborted(run)) break;
    clock.beginStep();
    const batch = await batches.next();
    if (batch === undefined) break;
    await writer.noteBad(batch, run.state.step + 1);
    clock.batchIsThere();
    const figures = await takeStep(run, parts, batch, () => batches.prepare());
    clock.endStep(config.batch);
    tellStep(run, batch, figures);
    if (run.state.step % config.logEverySteps === 0) await logInterval(run, writer, batch, figures);
    if (checkpointIsDue(run, writer)) await writer.checkpoint();
  }
  const weights = await writer.shownWeights();
  if (isAborted(run) && run.state.step !== writer.savedStep) {
    await writer.model(writer.folder.last);
    await writer.checkpoint();
  }
  return resultOf(run, weights);
}

/** One batch through the compiled step. `beside` is called while the engine works, where it works beside this thread. */
async function takeStep(
  run: TrainingRun,
  { step, compiled, writer }: LoopParts,
  batch: TrainingBatch,
  beside: () => void,
): Promise<StepFigures> {
  const { config, state, totalSteps } = run;
  const { accumulate } = config;
  const update = Math.floor(state.step / accumulate);
  const learningRate = learningRateAt(config.schedule, config.learningRate, update, totalSteps / accumulate);
  const updates = (state.step + 1) % accumulate === 0;
  writer.stepBegins(batch.inputs);
  const running = compiled.run({ ...batch.inputs, ...step.scalars({ learningRate, step: update + 1, updates }) });
  beside();
  const output = await running;
  const loss = numberOf(output, 'loss') as number;
  const correct = numberOf(output, 'correct') as number;
  const penalty = numberOf(output, 'penalty');
  const total = loss + (config.linearMapPenalty?.weight ?? 0) * (penalty ?? 0);
  if (!Number.isFinite(total)) throw await writer.numericStop(state.step + 1, `the loss became ${total}`);
  const { divergence } = config;
  const trend = divergence === undefined ? state.trend : nextTrend(state.trend, total, divergence);
  if (divergence !== undefined && diverges(trend, divergence)) {
    const { mean, lowest } = trend;
    const problem = `the loss diverges: its mean is ${mean.toPrecision(4)}, and was ${lowest.toPrecision(4)}`;
    throw await writer.numericStop(state.step + 1, problem);
  }
  const counted = { loss, correct, penalty: penalty ?? 0 };
  run.state = {
    ...state,
    step: state.step + 1,
    sampler: batch.samplerAfter,
    epochEndPending: batch.endsEpoch,
    trend,
    interval: addStep(state.interval, counted),
    epoch: addStep(state.epoch, counted),
  };
  return { loss, correct, penalty, learningRate };
}

function numberOf(output: NamedArrays, name: string): number | undefined {
  return output[name]?.data[0] as number | undefined;
}

function tellStep({ options, config, clock, state, totalSteps }: TrainingRun, batch: TrainingBatch, figures: StepFigures): void {
  const { loss, correct, penalty, learningRate } = figures;
  options.onEvent?.({
    type: 'step',
    step: state.step,
    totalSteps,
    epoch: batch.epoch + 1,
    loss,
    ...(penalty === undefined ? {} : { penalty }),
    accuracy: correct / config.batch,
    learningRate,
    imagesPerSecond: clock.rate,
    waiting: clock.waiting,
    etaSeconds: ((totalSteps - state.step) * config.batch) / clock.rate,
  });
}

/** A line of means since the last one. */
async function logInterval(run: TrainingRun, writer: RunWriter, batch: TrainingBatch, figures: StepFigures): Promise<void> {
  const { config, clock, state } = run;
  const { interval } = state;
  await writer.folder.log({
    type: 'step',
    step: state.step,
    epoch: batch.epoch + 1,
    loss: interval.loss / interval.steps,
    ...(figures.penalty === undefined ? {} : { penalty: interval.penalty / interval.steps }),
    accuracy: interval.correct / (interval.steps * config.batch),
    learningRate: figures.learningRate,
    imagesPerSecond: rounded((interval.steps * config.batch) / clock.lap()),
    waiting: rounded(clock.waiting),
    seconds: rounded(clock.seconds),
  });
  run.state = { ...state, interval: noSums };
}

/** At the end of an epoch one is written in any case. */
function checkpointIsDue({ options, config, state }: TrainingRun, writer: RunWriter): boolean {
  // within an update each rank has a sum of its own
  const isWithin = (options.group?.size ?? 1) > 1 && state.step % config.accumulate !== 0;
  if (state.epochEndPending || isWithin) return false;
  const dueBySteps = config.checkpointEverySteps !== undefined && state.step % config.checkpointEverySteps === 0;
  return dueBySteps || writer.secondsSinceSaved > config.checkpointEverySeconds;
}
