/** How good a network is on labelled images: loss, top-1, top-5, rate. Not what it looks at: that is `@coda-nets/depth`. */
import type * as tf from '@tensorflow/tfjs-core';
import {
  CodaError,
  inferenceContext,
  ndArray,
  oneHot,
  type Compiled,
  type Engine,
  type NamedArrays,
  type NdArray,
  type Network,
  type TensorFunction,
} from '@coda-nets/core';
import { batchMaker, type BatchMaker } from './data/batch-maker.ts';
import { sequentialBatches } from './data/batch-sampler.ts';
import { Ahead, batchTask } from './data/batch-stream.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { imagesOfBatch, type BadImage } from './data/make-batch.ts';
import { isOf, mergeEvaluations, wholeWork, type BatchFigures, type EvaluationPart, type Share } from './evaluation-part.ts';
import type { Features } from './features.ts';

export interface Evaluation {
  /** The network's own loss, mean over the images. */
  readonly loss: number;
  /** Share of images whose label has the largest logit, in [0, 1]; of equal logits the first counts. */
  readonly top1: number;
  /** Share of images with the label among the five largest logits. */
  readonly top5: number;
  readonly images: number;
  readonly imagesPerSecond: number;
  /** Images that could not be read, and are in none of these figures. Places are those in the split. */
  readonly bad: readonly BadImage[];
}

export interface EvaluateOptions {
  readonly network: Network;
  /** All weights of the network. */
  readonly weights: NamedArrays;
  readonly engine: Engine;
  readonly split: ImageSplit;
  /** Pixels of the shorter side of an image in a file, before the middle is cut out; where not given, as few as cover the network's input. */
  readonly resize?: number | undefined;
  /** Where images are decoded; default on this thread. */
  readonly maker?: BatchMaker;
  /** What the frozen stem gives for the images of `split` without augmentation: then only the head is run. */
  readonly features?: Features;
  readonly batchSize?: number;
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends early: the result is then undefined. */
  readonly signal?: AbortSignal;
}

/**
 * Evaluates all images of `split` in order, each once, batch norm in inference mode. Undefined only where `signal` ended it.
 *
 * @throws CodaError `argument` without images, `numeric` where a logit is NaN or infinite: it names the image.
 */
export async function evaluate(options: EvaluateOptions & { readonly signal?: never }): Promise<Evaluation>;
export async function evaluate(options: EvaluateOptions): Promise<Evaluation | undefined>;
export async function evaluate(options: EvaluateOptions): Promise<Evaluation | undefined> {
  const part = await evaluatePart(options, wholeWork);
  return part === undefined ? undefined : mergeEvaluations([part]);
}

/** The share of `evaluate` that is this one's, for `mergeEvaluations`. Progress is of the share. */
export async function evaluatePart(options: EvaluateOptions & { readonly signal?: never }, share: Share): Promise<EvaluationPart>;
export async function evaluatePart(options: EvaluateOptions, share: Share): Promise<EvaluationPart | undefined>;
export async function evaluatePart(options: EvaluateOptions, share: Share): Promise<EvaluationPart | undefined> {
  const { network, weights, engine, split, features, resize, maker = batchMaker(0), batchSize = 100, onProgress, signal } = options;
  if (split.length === 0) {
    throw new CodaError({ kind: 'argument', where: 'evaluate: split', problem: 'there are no images' });
  }
  const { frozenStem } = network;
  const useFeatures = features !== undefined && frozenStem !== undefined;
  const input = useFeatures ? 'features' : 'images';
  const fn: TensorFunction = (tensors) => {
    const batch = tensors[input] as tf.Tensor4D;
    const { logits } = useFeatures
      ? frozenStem.forwardHead(tensors, batch, inferenceContext)
      : network.forward(tensors, batch, inferenceContext);
    return { logits };
  };
  const shape = useFeatures ? frozenStem.featureShape : network.inputShape;
  const compiled = await engine.compile(fn, {
    inputs: { [input]: { shape: ['batch', ...shape], dtype: 'float32' } },
    constants: weights,
  });
  const meanLoss = lossBySize(engine, network);
  try {
    let seen = 0;
    const figures: BatchFigures[] = [];
    const start = performance.now();
    const [height, width] = network.inputShape;
    const size = [height, width] as const;
    const all = [...sequentialBatches(split.length, batchSize)];
    const own = all.filter((_, i) => isOf(share, i));
    const images = own.reduce((sum, { length }) => sum + length, 0);
    let next = 0;
    const batches = new Ahead(maker.workers + 1, () => {
      const indices = own[next++];
      return indices === undefined ? undefined : inputOf(indices);
    });
    const inputOf = async (indices: Uint32Array) => {
      if (useFeatures)
        return { indices, images: await features.batch(indices, 'none'), bad: features.bad.filter(({ place }) => indices.includes(place)) };
      const made = await maker.make(batchTask(split, indices, { size, resize }));
      return {
        indices,
        images: imagesOfBatch(made, size),
        bad: made.bad.map((image) => ({ ...image, place: (indices[0] as number) + image.place })),
      };
    };
    for (;;) {
      if (signal?.aborted === true) return undefined;
      const batch = await batches.next();
      if (batch === undefined) break;
      const { indices } = batch;
      const running = compiled.run({ [input]: batch.images });
      batches.prepare();
      const { logits: ofAll } = (await running) as { logits: NdArray<'float32'> };
      checkFinite(ofAll, indices);
      const good = Array.from(indices.keys()).filter((i) => batch.bad.every(({ place }) => place !== indices[i]));
      seen += indices.length;
      onProgress?.(seen, images);
      const ofBatch = { batch: (indices[0] as number) / batchSize, images: good.length, bad: batch.bad };
      if (good.length === 0) {
        figures.push({ ...ofBatch, loss: 0, top1: 0, top5: 0 });
        continue;
      }
      const logits = good.length === indices.length ? ofAll : rowsOf(ofAll, good);
      const labels = labelsOf(
        split,
        good.map((i) => indices[i] as number),
      );
      const loss = (await meanLoss.of(logits, labels)) * good.length;
      if (!Number.isFinite(loss)) throw notFinite(`images ${indices[0]} to ${indices.at(-1)}`, `their mean loss is ${loss / good.length}`);
      const ranks = good.map((_, i) => rankOf(logits.data, i * network.classes, network.classes, labels.data[i] as number));
      const within = (most: number): number => ranks.filter((rank) => rank < most).length;
      figures.push({ ...ofBatch, loss, top1: within(1), top5: within(5) });
    }
    return { batches: figures, of: all.length, seconds: (performance.now() - start) / 1000 };
  } finally {
    await compiled.dispose();
    await meanLoss.dispose();
  }
}

/** logits[rows, :] */
function rowsOf({ data, shape }: NdArray<'float32'>, rows: readonly number[]): NdArray<'float32'> {
  const classes = shape[1] as number;
  const chosen = new Float32Array(rows.length * classes);
  for (const [i, row] of rows.entries()) chosen.set(data.subarray(row * classes, (row + 1) * classes), i * classes);
  return ndArray('float32', [rows.length, classes], chosen);
}

function checkFinite({ data, shape }: NdArray<'float32'>, indices: ArrayLike<number>): void {
  const bad = data.findIndex((logit) => !Number.isFinite(logit));
  if (bad === -1) return;
  const classes = shape[1] as number;
  throw notFinite(`image ${indices[Math.floor(bad / classes)]}`, `the logit of class ${bad % classes} is ${data[bad]}`);
}

function notFinite(images: string, problem: string): CodaError {
  return new CodaError({ kind: 'numeric', where: `evaluate: ${images}`, problem, hint: 'Are the weights of this model finite?' });
}

/** The network's loss is a mean over the batch, a size that a graph for any batch does not know: a small function for each size that comes. */
function lossBySize(engine: Engine, network: Network) {
  const bySize = new Map<number, Compiled>();
  const compile = (n: number): Promise<Compiled> =>
    engine.compile(
      (tensors) => {
        const targets = oneHot(tensors['labels'] as tf.Tensor1D, network.classes);
        return { loss: network.loss(tensors['logits'] as tf.Tensor2D, targets) };
      },
      { inputs: { logits: { shape: [n, network.classes], dtype: 'float32' }, labels: { shape: [n], dtype: 'int32' } } },
    );
  return {
    of: async (logits: NdArray<'float32'>, labels: NdArray<'int32'>): Promise<number> => {
      const n = labels.data.length;
      const compiled = bySize.get(n) ?? (await compile(n));
      bySize.set(n, compiled);
      return (await compiled.run({ logits, labels }))['loss']?.data[0] as number;
    },
    dispose: async (): Promise<void> => {
      for (const compiled of bySize.values()) await compiled.dispose();
    },
  };
}

/** How many logits are before that of `label`: larger, or equal and earlier. */
function rankOf(logits: Float32Array, from: number, classes: number, label: number): number {
  const own = logits[from + label] as number;
  let rank = 0;
  for (let c = 0; c < classes; c++) {
    const other = logits[from + c] as number;
    if (c !== label && !(other < own) && (other !== own || c < label)) rank++;
  }
  return rank;
}

/** labels [n] of the images `indices`. */
export function labelsOf(split: Pick<ImageSplit, 'labels'>, indices: ArrayLike<number>): NdArray<'int32'> {
  const data = Int32Array.from({ length: indices.length }, (_, i) => split.labels[indices[i] as number] as number);
  return { dtype: 'int32', shape: [indices.length], data };
}
