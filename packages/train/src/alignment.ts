/**
 * How well the dynamic weights of a network align with what they see, as numbers by layer: ‖w_j‖ and cos ∠(w_j, p) of all units j at all positions
 * and images. Maximising bounded outputs is what aligns them (arXiv 2109.13004, section 3), so this is what training is to raise.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { CodaError, inferenceContext, recordTaps, type Engine, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';

/** Percentiles are interpolated between the two nearest ranks. */
export interface Spread {
  readonly mean: number;
  readonly p5: number;
  readonly p50: number;
  readonly p95: number;
}

export interface LayerAlignment {
  /** ‖w_j‖, bounded by 1. */
  readonly norm: Spread;
  /** cos ∠(w_j, p), in [−1, 1]; 0 where p is 0. */
  readonly cosine: Spread;
}

/** By layer, from the first on; a layer has the name of its output's tap. */
export type Alignment = Readonly<Record<string, LayerAlignment>>;

export interface MeasureAlignmentOptions {
  readonly engine: Engine;
  readonly network: Network;
  /** All weights of the network; with `features` those of the head are enough. */
  readonly weights: NamedArrays;
  /** [N, H, W, 3], or what the frozen stem gives for them as `features`. */
  readonly images?: NdArray<'float32'>;
  readonly features?: NdArray<'float32'>;
}

/** One forward pass in inference mode. Throws a CodaError for a network without dynamic linear layers. */
export async function measureAlignment({ engine, network, weights, images, features }: MeasureAlignmentOptions): Promise<Alignment> {
  const { dynamicLinear, frozenStem } = network;
  const batch = features ?? images;
  const stem = features === undefined ? undefined : frozenStem;
  if (dynamicLinear === undefined) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'measureAlignment: network',
      problem: 'this network has no dynamic linear layers',
      expected: 'a CoDA network or a hybrid',
      got: `kind ${JSON.stringify(network.config.kind)}`,
    });
  }
  if (batch === undefined || (features !== undefined && stem === undefined)) {
    throw new CodaError({
      kind: 'argument',
      where: 'measureAlignment',
      problem: 'nothing to measure on',
      expected: frozenStem === undefined ? 'images' : 'images or features',
      got: batch === undefined ? 'neither' : 'features, of which this network has none',
    });
  }
  const compiled = await engine.compile(
    (tensors) => {
      const { context, activations } = recordTaps(inferenceContext);
      const input = tensors['batch'] as tf.Tensor4D;
      if (stem === undefined) network.forward(tensors, input, context);
      else stem.forwardHead(tensors, input, context);
      const layers = Object.entries(dynamicLinear.alignment(tensors, activations));
      return Object.fromEntries(
        layers.flatMap(([name, { norm, cosine }]) => [
          [`norm/${name}`, norm],
          [`cosine/${name}`, cosine],
        ]),
      );
    },
    { inputs: { batch: { shape: batch.shape, dtype: 'float32' } }, constants: weights },
  );
  try {
    const output = await compiled.run({ batch });
    const spread = (name: string): Spread => spreadOf(output[name]?.data as Float32Array);
    const layers = dynamicLinear.taps.filter((name) => output[`norm/${name}`] !== undefined);
    return Object.fromEntries(layers.map((name) => [name, { norm: spread(`norm/${name}`), cosine: spread(`cosine/${name}`) }]));
  } finally {
    await compiled.dispose();
  }
}

/** Of at least one number. */
export function spreadOf(values: Float32Array): Spread {
  const sorted = values.toSorted();
  const at = (share: number): number => {
    const rank = share * (sorted.length - 1);
    const below = sorted[Math.floor(rank)] as number;
    return below + (rank - Math.floor(rank)) * ((sorted[Math.ceil(rank)] as number) - below);
  };
  const sum = sorted.reduce((total, x) => total + x, 0);
  return { mean: sum / sorted.length, p5: at(0.05), p50: at(0.5), p95: at(0.95) };
}
