/** The mean of the gradient over changed copies of each activation: the common part of IntGrad and SmoothGrad. */
import { ndArray, type NdArray } from '@coda-nets/core';
import { gradients } from '../tap-model.ts';
import { overSamples, type Sampling } from './over-samples.ts';

/** [N, h, w, C], added in float64. */
export async function meanGradient<S>(
  sampling: Pick<Sampling<S>, 'model' | 'samples' | 'draw' | 'perturb'> & {
    readonly activations: NdArray<'float32'>;
    readonly targets: Int32Array;
  },
): Promise<NdArray<'float32'>> {
  const { activations, samples } = sampling;
  const size = activations.data.length / Math.max(1, activations.shape[0] ?? 0);
  const sums = new Float64Array(activations.data.length);
  await overSamples({
    ...sampling,
    ask: gradients,
    output: 'gradient',
    visit: (gradient, _, n) => {
      for (let i = 0; i < size; i++) (sums[n * size + i] as number) += gradient[i] as number;
    },
  });
  return ndArray(
    'float32',
    activations.shape,
    Float32Array.from(sums, (sum) => sum / samples),
  );
}

/** Σ over the last axis of value(i): [N, h, w, C] → [N, h, w]. */
export function channelSums(shape: readonly number[], value: (i: number) => number): NdArray<'float32'> {
  const channels = shape.at(-1) ?? 1;
  const places = shape.slice(0, -1);
  const data = new Float32Array(places.reduce((product, d) => product * d, 1));
  for (let p = 0; p < data.length; p++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += value(p * channels + c);
    data[p] = sum;
  }
  return ndArray('float32', places, data);
}
