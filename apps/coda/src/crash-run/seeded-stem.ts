/**
 * A backbone nobody trained, as a model file: weights drawn by a seed, and the running statistics of some images, so that features come out in the scale of trained ones.
 * In the place of weights that cannot be fetched; it recognises nothing, but a head can be trained on it.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { initWeights, ndArray, Random, trainingContext, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { batchNormMomentum, resnet, type ResnetOptions } from '@coda-nets/resnet';

export interface SeededStemOptions {
  readonly backbone: ResnetOptions;
  /** [N, H, W, 3]: what the statistics are of. */
  readonly images: NdArray<'float32'>;
  readonly engine: Engine;
  readonly seed: number;
}

export async function writeSeededStem(path: string, { backbone, images, engine, seed }: SeededStemOptions): Promise<void> {
  const network = resnet(backbone);
  const drawn = initWeights(network, Random.seeded(seed).split('stem'));
  const statistics = Object.keys(drawn).filter((name) => network.weights[name]?.role === 'statistic');
  // one step of batch norm leaves r₁ = (1 − m)·r₀ + m·s, s: those of the images
  const compiled = await engine.compile(
    (tensors) => ({ ...network.forward(tensors, tensors['images'] as tf.Tensor4D, trainingContext).statistics }),
    { inputs: { images: { shape: images.shape, dtype: 'float32' } }, constants: drawn },
  );
  let moved: NamedArrays;
  try {
    moved = await compiled.run({ images });
  } finally {
    await compiled.dispose();
  }
  const ofImages = statistics.map((name) => {
    const [before, after] = [drawn[name] as NdArray<'float32'>, moved[name] as NdArray<'float32'>];
    const data = after.data.map((value, i) => (value - (1 - batchNormMomentum) * (before.data[i] as number)) / batchNormMomentum);
    return [name, ndArray('float32', before.shape, data)] as const;
  });
  const [height, width] = network.inputShape;
  await writeModel(path, {
    config: network.config,
    preprocessing: { size: [height, width], layout: 'rgb', range: [0, 1] },
    classNames: Array.from({ length: network.classes }, (_, c) => String(c)),
    weights: { ...drawn, ...Object.fromEntries(ofImages) },
    provenance: { drawn: `seed ${seed}`, statistics: `of ${images.shape[0]} images` },
  });
}
