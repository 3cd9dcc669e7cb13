/** What a training run tells while it goes on. Plain data: a command line draws bars of it, a page curves. */
import type { Alignment } from './alignment.ts';
import type { Evaluation } from './evaluation.ts';

export type TrainEvent =
  | {
      readonly type: 'start';
      /** 0, or where a resumed run goes on. */
      readonly step: number;
      readonly totalSteps: number;
      /** A resumed run has nothing left to do. */
      readonly finished: boolean;
      readonly epochs: number;
      readonly trainImages: number;
      readonly validationImages: number;
      /** Trained numbers, and those that stay as they are. */
      readonly parameters: number;
      readonly frozen: number;
      readonly engine: string;
    }
  /** The step is traced and compiled: seconds without another event. */
  | { readonly type: 'compile' }
  | { readonly type: 'features'; readonly split: 'train' | 'validation'; readonly done: number; readonly total: number }
  | {
      readonly type: 'step';
      /** Updates done. */
      readonly step: number;
      readonly totalSteps: number;
      /** From 1. */
      readonly epoch: number;
      readonly loss: number;
      /** mean |W| of the penalised rows, not times λ; with a penalty alone. */
      readonly penalty?: number;
      /** Share of this batch, in [0, 1]. */
      readonly accuracy: number;
      readonly learningRate: number;
      readonly imagesPerSecond: number;
      /** Share of the time since the run began or went on that the step waited for images. */
      readonly waiting: number;
      /** Of the steps that are left; validation is not in it. */
      readonly etaSeconds: number;
    }
  | { readonly type: 'validation'; readonly done: number; readonly total: number }
  | {
      readonly type: 'epoch';
      /** From 1. */
      readonly epoch: number;
      readonly epochs: number;
      readonly step: number;
      /** Means over the epoch, each batch as it was when trained on. */
      readonly trainLoss: number;
      readonly trainAccuracy: number;
      readonly trainPenalty?: number;
      readonly validation: Evaluation | undefined;
      /** Where it was due, of a network with dynamic linear layers. */
      readonly alignment: Alignment | undefined;
      readonly isBest: boolean;
    }
  /** An image that could not be read; another one took its place. */
  | { readonly type: 'bad-image'; readonly file: string; readonly reason: string; readonly count: number }
  | { readonly type: 'checkpoint'; readonly step: number; readonly path: string }
  /** Something a person should know: the text is a whole sentence. */
  | { readonly type: 'notice'; readonly message: string };
