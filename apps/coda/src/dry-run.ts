/**
 * What a training would be, without a run: its plan from the config, and what its first steps take, measured. The steps are those of the trainer
 * itself, in a temporary folder that is deleted; so is all else that a run would write. Ranks that would train together measure together, and rank 0 has the plan.
 */
import { initWeights, oneProcess, Random, sizeOf, type NamedArrays } from '@coda-nets/core';
import { evaluate, selectClasses, subset, train } from '@coda-nets/train';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { peakBytes } from './bench/process-memory.ts';
import { firstSteps, type DryRunOptions, type FirstSteps, type StartEvent } from './dry-run-steps.ts';
import { gatherJson } from './in-group.ts';
import { networkCost, type NetworkCost } from './network-cost.ts';
import type { PreparedTraining } from './prepare-training.ts';

/** Of validation. */
const VALIDATED_IMAGES = 200;

export interface DryRun {
  readonly network: NetworkCost;
  /** Processes that train together, each with a batch of its own. */
  readonly ranks: number;
  readonly exchanged: FirstSteps['exchanged'];
  readonly trainImages: number;
  readonly validationImages: number;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
  readonly totalSteps: number;
  /** Where a run goes on; times are those of what is left. */
  readonly step: number;
  /** Steps that were timed; the median and the slowest of them, and the one before them. */
  readonly measuredSteps: number;
  readonly stepSeconds: number;
  readonly slowestStepSeconds: number;
  readonly firstStepSeconds: number;
  /** Share of the time that steps waited for images. */
  readonly waiting: number;
  /** What the frozen stem's features take where they are kept, once; 0 where they are not. */
  readonly featureSeconds: number;
  /** Of all kept features, the validation's among them; 0 where none are kept. */
  readonly featureBytes: number;
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

interface FinishedRun extends Pick<DryRun, 'step' | 'totalSteps'> {
  readonly finished: true;
}

/** Undefined where `signal` ended it, and on other ranks than 0; of a run that is finished only where it is. */
export async function dryRun(options: DryRunOptions): Promise<DryRun | FinishedRun | undefined> {
  const { network, config, signal, group = oneProcess } = options;
  const folder = await mkdtemp(join(tmpdir(), 'coda-dry-run-'));
  try {
    const begun = await startOf(options, join(folder, 'plan'));
    const { step, totalSteps } = begun;
    if (begun.finished) return group.rank > 0 ? undefined : { finished: true, step, totalSteps };
    const run = await firstSteps(measurable(options), begun, join(folder, 'run'));
    if (run === undefined || group.rank > 0) return undefined;
    const { weights, features, waiting, exchanged } = run;
    const [first = NaN, ...rest] = run.stepSeconds;
    const sorted = rest.toSorted((a, b) => a - b);
    const stepSeconds = sorted[Math.floor(sorted.length / 2)] ?? first;
    const kept = features.copies * begun.trainImages + begun.validationImages;
    const featureSeconds = features.secondsPerImage * kept;
    const stepsPerEpoch = totalSteps / config.epochs;
    const validations = Math.ceil(config.epochs / config.validateEvery) - Math.floor(step / stepsPerEpoch / config.validateEvery);
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
      stepsPerEpoch,
      epochs: config.epochs,
      totalSteps,
      step,
      measuredSteps: rest.length,
      stepSeconds,
      slowestStepSeconds: sorted.at(-1) ?? stepSeconds,
      firstStepSeconds: first,
      waiting,
      featureSeconds,
      featureBytes: config.cacheFeatures ? kept * bytesOfFeatures(options) : 0,
      validationSeconds,
      totalSeconds: featureSeconds + (totalSteps - step) * stepSeconds + validationSeconds,
      peakBytes: peakBytes(),
      freeBytes: freemem(),
      checkpointBytes,
      diskBytes: 3 * checkpointBytes + 2 * model,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A run that goes on has its weights in its checkpoint, and its stem's file may be gone: any others take the same time. */
function measurable(options: DryRunOptions): DryRunOptions {
  const { network, config, resumed, initialWeights } = options;
  if (resumed === undefined || initialWeights !== undefined) return options;
  return { ...options, initialWeights: initWeights(network, Random.seeded(config.seed).split('weights')) };
}

/** Of one image. */
function bytesOfFeatures({ network: { frozenStem }, config }: DryRunOptions): number {
  return sizeOf(frozenStem?.featureShape ?? [0]) * (config.featurePrecision === 'float16' ? 2 : 4);
}

/** Numbers that a trained weight has beside it: the optimiser's, its average, the sum of its gradients. */
function slotsOf({ optimiser, ema, accumulate }: PreparedTraining['config']): number {
  const ofOptimiser = optimiser.kind !== 'sgd' ? 2 : optimiser.momentum === 0 ? 0 : 1;
  return ofOptimiser + (ema === undefined ? 0 : 1) + (accumulate === 1 ? 0 : 1);
}

/** What the trainer says before it does anything; thrown out of it there. */
class Started extends Error {
  readonly event: StartEvent;

  constructor(event: StartEvent) {
    super('the plan is known');
    this.event = event;
  }
}

/** A new run is planned by every rank by itself; one that goes on by the first, as it would go on: its folder is for one process. */
async function startOf(options: DryRunOptions, out: string): Promise<StartEvent> {
  const { resumed, group = oneProcess } = options;
  if (resumed === undefined) return startIn(options, out);
  const own = group.rank === 0 ? await startIn(options, resumed) : null;
  return (await gatherJson(group, own, 'start of the run'))[0] as StartEvent;
}

async function startIn(
  { network, dataset, engine, config, initialWeights, resumed, group = oneProcess }: DryRunOptions,
  out: string,
): Promise<StartEvent> {
  try {
    await train({
      network,
      dataset,
      engine,
      config,
      out,
      resume: resumed !== undefined,
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
