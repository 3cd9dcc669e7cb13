/** What `train` is asked for, and what it answers. */
import type { Engine, JsonObject, NamedArrays, Network, Preprocessing, ProcessGroup } from '@coda-nets/core';
import type { ImageDataset, ImageSplit } from './data/image-dataset.ts';
import type { RunFolder } from './run-folder.ts';
import type { TrainConfigInput } from './train-config.ts';
import type { TrainEvent } from './train-events.ts';

export interface TrainOptions {
  readonly network: Network;
  readonly dataset: ImageDataset;
  readonly engine: Engine;
  /** `network` may be left out: it is the network's own config. */
  readonly config: Omit<TrainConfigInput, 'network'> & { readonly network?: JsonObject };
  /** The run folder. */
  readonly out: string;
  /** Goes on with the run in `out`; else there must be none. */
  readonly resume?: boolean;
  /** Weights to start from, by name; the others are drawn. Overrides `config.initFrom`, which is then a note for people. */
  readonly initialWeights?: NamedArrays;
  /** Default: the network's input size. */
  readonly preprocessing?: Preprocessing;
  /** Kept features are also written here, see `computeFeatures`. */
  readonly featureCacheFolder?: string;
  /** Threads that decode and augment; they change nothing but the time. Default: one for each processor but one where there is much to do, else none. */
  readonly workers?: number;
  /**
   * The processes that train together, by default this one alone. Each calls `train` with the same options and data; rank 0 alone writes, and tells of all
   * but bad images. Where it throws on one rank, the others wait for it: end them with `group.abort`.
   */
  readonly group?: ProcessGroup;
  readonly onEvent?: (event: TrainEvent) => void;
  /** Called at the end of every epoch and waited for, between its line and its checkpoint: killed in there, the epoch's end is done again. */
  readonly atEpochEnd?: (end: EpochEnd) => Promise<void>;
  /** Finishes the step, saves, returns. */
  readonly signal?: AbortSignal;
}

/** What may look at a run at the end of an epoch: at its weights, not at its state. */
export interface EpochEnd {
  /** From 1. */
  readonly epoch: number;
  readonly step: number;
  readonly weights: NamedArrays;
  /** Of validation, or of training where there is none. */
  readonly split: ImageSplit;
  readonly run: Pick<RunFolder, 'path' | 'log' | 'logImage'>;
}

export interface TrainResult {
  /** False where `signal` ended the run early; an early stop by the config is an end. */
  readonly finished: boolean;
  readonly step: number;
  readonly totalSteps: number;
  /** With `ema` their average: what `last.safetensors` holds. */
  readonly weights: NamedArrays;
  /** The last validation, if there was one. */
  readonly validation: { readonly loss: number; readonly top1: number; readonly top5: number } | undefined;
  /** From 1; score: the figure of `bestBy`, a loss as minus it. */
  readonly best: { readonly epoch: number; readonly score: number } | undefined;
  /** Over all parts of the run. */
  readonly seconds: number;
  /** File and reason of each image that could not be read. */
  readonly bad: readonly (readonly [file: string, reason: string])[];
  /** Share of the time in which a step waited for images; 0 where there was no step. */
  readonly waiting: number;
}
