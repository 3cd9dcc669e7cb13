/**
 * What a training would be, without a run: its plan from the config, and what its first steps take, measured. The steps are those of the trainer
 * itself, in a temporary folder that is deleted; so is all else that a run would write. Ranks that would train together measure together, and rank 0 has the plan.
 */
import { oneProcess, type Engine, type GroupReport, type NamedArrays, type ProcessGroup } from '@coda-nets/core';
import { evaluate, selectClasses, subset, train, type TrainEvent, type TrainOptions } from '@coda-nets/train';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { peakBytes } from './bench/process-memory.ts';
import { networkCost, type NetworkCost } from './network-cost.ts';
import type { PreparedTraining } from './prepare-training.ts';

/** After the first, in which graphs are made and buffers taken. */
export const MEASURED_STEPS = 10;
/** Of validation. */
const VALIDATED_IMAGES = 200;

export interface DryRun {
  readonly network: NetworkCost;
  /** Processes that train together, each with a batch of its own. */
  readonly ranks: number;
  /** What a rank exchanges with the others, in a step of the mean; and the shares of the time in which data moved and in which others were waited for. */
  readonly exchanged: { readonly bytesPerStep: number; readonly moving: number; readonly waiting: number };
  readonly trainImages: number;
  readonly validationImages: number;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
  readonly totalSteps: number;
  /** Steps that were timed; the median and the slowest of them, and the one before them. */
  readonly measuredSteps: number;
  readonly stepSeconds: number;
  readonly slowestStepSeconds: number;
  readonly firstStepSeconds: number;
  /** Share of the time that steps waited for images. */
  readonly waiting: number;
  /** What the frozen stem's features take where they are kept, once; 0 where they are not. */
  readonly featureSeconds: number;
  /** All validations. */
  readonly validationSeconds: number;
  /** Features, steps and validations; maps, alignment and checkpoints are not in it. */
  readonly totalSeconds: number;
  /** The most this process had resident. */
  readonly peakBytes: number;
  readonly freeBytes: number;
  readonly checkpointBytes: number;
  /** Two checkpoints and one that is being written, and both models. */
  readonly diskBytes: number;
}

export interface DryRunOptions extends PreparedTraining {
  readonly dataset: TrainOptions['dataset'];
  readonly engine: Engine;
  /** Default: one process. */
  readonly group?: ProcessGroup | undefined;
  readonly workers?: number | undefined;
  readonly onStep?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Undefined where `signal` ended it, and on other ranks than 0. */
export async function dryRun(options: DryRunOptions): Promise<DryRun | undefined> {
  const { network, config, signal, group = oneProcess } = options;
  const folder = await mkdtemp(join(tmpdir(), 'coda-dry-run-'));
  try {
    const begun = await startOf(options, join(folder, 'plan'));
    const run = await firstSteps(options, begun, join(folder, 'run'));
    if (run === undefined || group.rank > 0) return undefined;
    const { weights, features, waiting, exchanged } = run;
    const [first = NaN, ...rest] = run.stepSeconds;
    const sorted = rest.toSorted((a, b) => a - b);
    const stepSeconds = sorted[Math.floor(sorted.length / 2)] ?? first;
    const featureSeconds = features.secondsPerImage * (features.copies * begun.trainImages + begun.validationImages);
    const validations = Math.ceil(config.epochs / config.validateEvery);
    const validationSeconds = await secondsOfValidation(options, weights, (validations * begun.validationImages) / group.size);
    if (signal?.aborted === true) return undefined;
    const checkpointBytes = await bytesIn(join(folder, 'run', 'checkpoints'));
    const model = (await stat(join(folder, 'run', 'last.safetensors'))).size;
    return {
      network: networkCost(network, {
        batch: config.batch,
        slots: slotsOf(config),
      }),
      ranks: group.size,
      exchanged,
      trainImages: begun.trainImages,
      validationImages: begun.validationImages,
      stepsPerEpoch: begun.totalSteps / config.epochs,
      epochs: config.epochs,
      totalSteps: begun.totalSteps,
      measuredSteps: rest.length,
      stepSeconds,
      slowestStepSeconds: sorted.at(-1) ?? stepSeconds,
      firstStepSeconds: first,
      waiting,
      featureSeconds,
      validationSeconds,
      totalSeconds: featureSeconds + begun.totalSteps * stepSeconds + validationSeconds,
      peakBytes: peakBytes(),
      freeBytes: freemem(),
      checkpointBytes,
      diskBytes: 3 * checkpointBytes + 2 * model,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Numbers that a trained weight has beside it: the optimiser's, its average, the sum of its gradients. */
function slotsOf({ optimiser, ema, accumulate }: PreparedTraining['config']): number {
  const ofOptimiser = optimiser.kind !== 'sgd' ? 2 : optimiser.momentum === 0 ? 0 : 1;
  return ofOptimiser + (ema === undefined ? 0 : 1) + (accumulate === 1 ? 0 : 1);
}

type StartEvent = Extract<TrainEvent, { type: 'start' }>;

/** What the trainer says before it does anything; thrown out of it there. */
class Started extends Error {
  readonly event: StartEvent;

  constructor(event: StartEvent) {
    super('the plan is known');
    this.event = event;
  }
}

/** Every rank by itself: what it says it knows without the others. */
async function startOf(
  { network, dataset, engine, config, initialWeights, group = oneProcess }: DryRunOptions,
  out: string,
): Promise<StartEvent> {
  try {
    await train({
      network,
      dataset,
      engine,
      config,
      out,
      group: { ...oneProcess, size: group.size },
      ...(initialWeights !== undefined && { initialWeights }),
      onEvent: (event) => {
        if (event.type === 'start') throw new Started(event);
      },
    });
  } catch (error) {
    if (error instanceof Started) return error.event;
    throw error;
  }
  throw new Error('the trainer did not say what it starts');
}

interface FirstSteps {
  readonly weights: NamedArrays;
  /** From the end of the step before. */
  readonly stepSeconds: readonly number[];
  readonly waiting: number;
  readonly exchanged: DryRun['exchanged'];
  readonly features: { readonly secondsPerImage: number; readonly copies: number };
}

async function firstSteps(options: DryRunOptions, begun: StartEvent, out: string): Promise<FirstSteps | undefined> {
  const { network, dataset, engine, config, initialWeights, workers, onStep, signal, group = oneProcess } = options;
  const heldOut = config.validation.kind === 'held-out' ? config.validation.count : 0;
  // features are kept of as many images as the steps need
  const few = heldOut + Math.min(begun.trainImages, config.batch * group.size * Math.max(MEASURED_STEPS + 1, config.accumulate));
  const stop = new AbortController();
  const pass = (): void => stop.abort();
  signal?.addEventListener('abort', pass, { once: true });
  const stepSeconds: number[] = [];
  const features = { seconds: 0, images: 0, trained: 0 };
  let trainImages = begun.trainImages;
  const reports: GroupReport[] = [];
  let last = performance.now();
  const since = (): number => {
    const before = last;
    last = performance.now();
    return (last - before) / 1000;
  };
  try {
    const { weights, waiting } = await train({
      network,
      dataset,
      engine,
      // validations are measured apart
      config: { ...config, validateEvery: 100_000, ...(config.cacheFeatures && { limit: few }) },
      out,
      group,
      ...(initialWeights !== undefined && { initialWeights }),
      ...(workers !== undefined && { workers }),
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === 'start') trainImages = event.trainImages;
        if (event.type === 'start' || event.type === 'checkpoint') since();
        if (event.type === 'features') {
          features.seconds += since();
          if (event.done !== event.total) return;
          features.images += event.total;
          if (event.split === 'train') features.trained = event.total;
        }
        // many ranks agree on their end within a step: it has one more
        if (event.type !== 'step' || event.step > MEASURED_STEPS + 1) return;
        stepSeconds.push(since());
        reports.push(group.report());
        onStep?.(event.step, MEASURED_STEPS + 1);
        if (event.step > MEASURED_STEPS) stop.abort();
      },
    });
    if (signal?.aborted === true) return undefined;
    const secondsPerImage = features.images === 0 ? 0 : features.seconds / features.images;
    return {
      weights,
      stepSeconds,
      waiting,
      exchanged: exchangeOf(reports, stepSeconds),
      features: { secondsPerImage, copies: features.trained / trainImages },
    };
  } finally {
    signal?.removeEventListener('abort', pass);
  }
}

/** Between the first step and the last, after each of which there is a report. */
function exchangeOf(reports: readonly GroupReport[], stepSeconds: readonly number[]): DryRun['exchanged'] {
  const [first, ...rest] = reports;
  const end = rest.at(-1);
  if (first === undefined || end === undefined) return { bytesPerStep: 0, moving: 0, waiting: 0 };
  const milliseconds = 1000 * stepSeconds.slice(1).reduce((sum, seconds) => sum + seconds, 0);
  return {
    bytesPerStep: (end.bytes - first.bytes) / rest.length,
    moving: (end.moved - first.moved) / milliseconds,
    waiting: (end.waited - first.waited) / milliseconds,
  };
}

/** Of `images` images, from the rate of a few: with kept features it is less. */
async function secondsOfValidation(options: DryRunOptions, weights: NamedArrays, images: number): Promise<number> {
  if (images === 0) return 0;
  const { network, config, dataset, engine } = options;
  const whole = (config.classes === undefined ? dataset : selectClasses(dataset, config.classes)).split(
    config.validation.kind === 'test' ? 'test' : 'train',
  );
  const split = subset(
    whole,
    Uint32Array.from({ length: Math.min(VALIDATED_IMAGES, whole.length) }, (_, i) => i),
  );
  const { imagesPerSecond } = await evaluate({ network, weights, engine, split, resize: config.resize });
  return images / imagesPerSecond;
}

/** Of the newest checkpoint. */
async function bytesIn(checkpoints: string): Promise<number> {
  const newest = Math.max(...(await readdir(checkpoints)).filter((name) => /^\d+$/.test(name)).map(Number));
  const folder = join(checkpoints, String(newest));
  const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
