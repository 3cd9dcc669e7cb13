/** Logits and probabilities of a model, compiled once for any batch of images of one size. */
import { CodaError, inferenceContext, ndArray, sizeOf, type Engine, type NdArray } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';
import { imagesAtATime } from './images-at-a-time.ts';
import type { OpenModel } from './open-model.ts';

export interface Classification {
  /** [N, classes] */
  readonly logits: NdArray<'float32'>;
  readonly probabilities: NdArray<'float32'>;
}

/** Small images in one call of the engine; more do not make it faster. */
const MOST_AT_A_TIME = 64;

export interface ClassifyOptions {
  readonly onImages?: (done: number) => void;
  /** Ends the work with its reason. */
  readonly signal?: AbortSignal | undefined;
}

export async function classify(
  engine: Engine,
  { network, model }: OpenModel,
  images: NdArray<'float32'>,
  { onImages, signal }: ClassifyOptions = {},
): Promise<Classification> {
  const compiled = await engine.compile(
    (tensors) => {
      const { logits } = network.forward(tensors, tensors['image'] as tf.Tensor4D, inferenceContext);
      return { logits, probabilities: network.probabilities(logits) };
    },
    { inputs: { image: { shape: ['batch', ...images.shape.slice(1)], dtype: 'float32' } }, constants: model.weights },
  );
  const [count = 0, ...shape] = images.shape;
  const chunk = imagesAtATime(shape[0] as number, shape[1] as number, MOST_AT_A_TIME);
  const size = sizeOf(shape);
  const logits = new Float32Array(count * network.classes);
  const probabilities = new Float32Array(count * network.classes);
  try {
    for (let start = 0; start < count; start += chunk) {
      signal?.throwIfAborted();
      const n = Math.min(chunk, count - start);
      const image = ndArray('float32', [n, ...shape], images.data.subarray(start * size, (start + n) * size));
      const outputs = await compiled.run({ image });
      logits.set(outputs['logits']?.data as Float32Array, start * network.classes);
      probabilities.set(outputs['probabilities']?.data as Float32Array, start * network.classes);
      onImages?.(start + n);
    }
  } finally {
    await compiled.dispose();
  }
  const rows = [count, network.classes];
  return { logits: ndArray('float32', rows, logits), probabilities: ndArray('float32', rows, probabilities) };
}

/** Throws a CodaError that names the first image with a logit that is NaN or infinite: its probabilities mean nothing. */
export function checkFinite({ logits }: Classification, names: readonly string[]): void {
  const bad = logits.data.findIndex((logit) => !Number.isFinite(logit));
  if (bad === -1) return;
  const classes = logits.shape[1] as number;
  throw new CodaError({
    kind: 'numeric',
    where: `predict: image ${names[Math.floor(bad / classes)]}`,
    problem: `the logit of class ${bad % classes} is ${logits.data[bad]}`,
    hint: 'Are the weights of this model finite?',
  });
}

export interface RankedClass {
  readonly class: number;
  readonly name: string;
  readonly logit: number;
  readonly probability: number;
}

/** The `top` most probable classes of image n. */
export function topClasses(
  { logits, probabilities }: Classification,
  n: number,
  classNames: readonly string[],
  top: number,
): RankedClass[] {
  const classes = logits.shape[1] as number;
  return Array.from({ length: classes }, (_, c) => ({
    class: c,
    name: classNames[c] ?? `class ${c}`,
    logit: logits.data[n * classes + c] as number,
    probability: probabilities.data[n * classes + c] as number,
  }))
    .sort((a, b) => b.logit - a.logit)
    .slice(0, top);
}
