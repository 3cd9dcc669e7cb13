/** Loss and accuracy of a model on a split, or of its head on a frozen stem's features. */
import { inferenceContext, ndArray, type Compiled, type Engine, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { assembleBatch } from './data/assemble-batch.ts';
import { sequentialBatches } from './data/batch-sampler.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import type { FrozenFeatures } from './frozen-features.ts';

export interface EvaluationOptions {
  readonly engine: Engine;
  readonly network: Network;
  readonly weights: NamedArrays;
  /** Images in one call; default 250. */
  readonly batchSize?: number;
  /** The features of the split's images, where they are there. */
  readonly features?: FrozenFeatures | undefined;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Evaluation {
  readonly images: number;
  /** The network's own loss, mean over the images. */
  readonly loss: number;
  /** Share of images whose label is the class of the largest logit; among the five largest. */
  readonly top1: number;
  readonly top5: number;
  readonly imagesPerSecond: number;
}

export async function evaluate(split: ImageSplit, options: EvaluationOptions): Promise<Evaluation> {
  const { engine, network, weights, batchSize = 250, features, onProgress, signal } = options;
  const stem = features === undefined ? undefined : network.frozenStem;
  const shape = stem?.featureShape ?? network.inputShape;
  const compiled = await engine.compile(
    (tensors) => {
      const input = tensors['input'] as tf.Tensor4D;
      const { logits } = stem?.forwardHead(tensors, input, inferenceContext) ?? network.forward(tensors, input, inferenceContext);
      return { logits };
    },
    { inputs: { input: { shape: ['batch', ...shape], dtype: 'float32' } }, constants: weights },
  );
  const meanLoss = await lossByBatch(engine, network);
  try {
    const started = performance.now();
    let loss = 0;
    let top1 = 0;
    let top5 = 0;
    let done = 0;
    for (const indices of sequentialBatches(split.length, batchSize)) {
      signal?.throwIfAborted();
      const input = features?.batch(indices) ?? assembleBatch(split, indices).images;
      const { logits } = (await compiled.run({ input })) as { logits: NdArray<'float32'> };
      for (const [n, index] of indices.entries()) {
        const label = split.labels[index] as number;
        const row = logits.data.slice(n * network.classes, (n + 1) * network.classes);
        const rank = rankOf(row, label);
        if (rank < 1) top1++;
        if (rank < 5) top5++;
      }
      const labels = ndArray('int32', [indices.length], Int32Array.from(indices, (index) => split.labels[index] as number));
      loss += indices.length * (await meanLoss.of(logits, labels));
      done += indices.length;
      onProgress?.(done, split.length);
    }
    const seconds = (performance.now() - started) / 1000;
    const images = split.length;
    return { images, loss: loss / images, top1: top1 / images, top5: top5 / images, imagesPerSecond: images / seconds };
  } finally {
    await compiled.dispose();
    await meanLoss.dispose();
  }
}

/** The network's loss takes a mean over the batch, which a graph for any batch size cannot: one small function for each size that comes. */
async function lossByBatch(engine: Engine, network: Network) {
  const bySize = new Map<number, Compiled>();
  return {
    of: async (logits: NdArray<'float32'>, labels: NdArray<'int32'>): Promise<number> => {
      const n = labels.data.length;
      let compiled = bySize.get(n);
      if (compiled === undefined) {
        compiled = await engine.compile(
          (tensors) => {
            const targets = tf.cast(tf.oneHot(tensors['labels'] as tf.Tensor1D, network.classes), 'float32') as tf.Tensor2D;
            return { loss: network.loss(tensors['logits'] as tf.Tensor2D, targets) };
          },
          { inputs: { logits: { shape: [n, network.classes], dtype: 'float32' }, labels: { shape: [n], dtype: 'int32' } } },
        );
        bySize.set(n, compiled);
      }
      return Number((await compiled.run({ logits, labels }))['loss']?.data[0]);
    },
    dispose: async (): Promise<void> => {
      for (const compiled of bySize.values()) await compiled.dispose();
    },
  };
}

/** How many classes stand before `label`; a tie goes to the lower class, as argMax has it. NaN stands before everything. */
function rankOf(logits: Float32Array, label: number): number {
  const own = logits[label] as number;
  let before = 0;
  for (const [c, z] of logits.entries()) if (z > own || Number.isNaN(z) || Number.isNaN(own) || (z === own && c < label)) before++;
  return before;
}
