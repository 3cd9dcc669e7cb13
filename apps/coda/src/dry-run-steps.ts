/** The first steps of a training, by the trainer itself in a folder that its caller deletes: how long each takes, and what ranks exchange in it. */
import { oneProcess, type Engine, type GroupReport, type NamedArrays, type ProcessGroup } from '@coda-nets/core';
import { train, type TrainEvent, type TrainOptions } from '@coda-nets/train';
import type { PreparedTraining } from './prepare-training.ts';

/** After the first, in which graphs are made and buffers taken. */
export const MEASURED_STEPS = 10;

export interface DryRunOptions extends PreparedTraining {
  readonly dataset: TrainOptions['dataset'];
  readonly engine: Engine;
  /** Default: one process. */
  readonly group?: ProcessGroup | undefined;
  readonly workers?: number | undefined;
  /** The folder of the run that would go on. */
  readonly resumed?: string | undefined;
  readonly onStep?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What the trainer says before it does anything. */
export type StartEvent = Extract<TrainEvent, { type: 'start' }>;

export interface FirstSteps {
  readonly weights: NamedArrays;
  /** From the end of the step before. */
  readonly stepSeconds: readonly number[];
  readonly waiting: number;
  /** What a rank exchanges with the others, in a step of the mean; and the shares of the time in which data moved and in which others were waited for. */
  readonly exchanged: { readonly bytesPerStep: number; readonly moving: number; readonly waiting: number };
  readonly features: { readonly secondsPerImage: number; readonly copies: number };
}

/** Undefined where `signal` ended it. `begun`: what the trainer says of the whole run; `out`: the folder of the measured one. */
export async function firstSteps(options: DryRunOptions, begun: StartEvent, out: string): Promise<FirstSteps | undefined> {
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
function exchangeOf(reports: readonly GroupReport[], stepSeconds: readonly number[]): FirstSteps['exchanged'] {
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
