/** What the golden tests share: the weights both sides draw, and the comparison with a digest. The other side is tools/goldens/resnet.py. */
import type * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { sizeOf, type WeightSpec } from '@coda-nets/core';
import { expectClose, randomValues } from '@coda-nets/tools/testkit';

/** float32 against PyTorch's float64, through at most 152 layers; as the manifest says. */
export const goldenTolerance = { rtol: 1e-4, relativeTo: 'largest' } as const;

/** Of a tensor in TensorFlow's axis order: its root mean square, and every `step`-th value. */
export interface Digest {
  readonly shape: readonly number[];
  readonly rms: number;
  readonly step: number;
  readonly values: readonly number[];
}

/** The root mean square looks at all values, the samples at places. */
export function expectDigest(actual: Pick<tf.Tensor, 'shape' | 'dataSync'>, expected: Digest | undefined, name: string): void {
  if (expected === undefined) throw new Error(`no golden for ${name}`);
  const values = actual.dataSync<'float32'>();
  try {
    expect(actual.shape).toEqual(expected.shape);
    const largest = values.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const sampled = expected.values.map((_, i) => values[i * expected.step] as number);
    expectClose(sampled, expected.values, { atol: goldenTolerance.rtol * largest });
    const rms = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    expectClose(rms, expected.rms, { rtol: goldenTolerance.rtol });
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
  }
}

/** The values of a weight, as `draw` in the generator. */
export function goldenWeight(name: string, { shape }: Pick<WeightSpec, 'shape'>, seed: number): Float32Array {
  return randomValues(sizeOf(shape), seed, rangeOf(name, shape));
}

/** As `ranges` in the generator. */
function rangeOf(name: string, shape: readonly number[]): { min: number; max: number } {
  if (name.endsWith('running_var')) return { min: 0.5, max: 2 };
  if (name.endsWith('running_mean')) return { min: -0.3, max: 0.3 };
  if (name.endsWith('bn3.weight')) return { min: 0.1, max: 0.4 };
  if (/bn|downsample\.1/.test(name)) return name.endsWith('weight') ? { min: 0.5, max: 1.5 } : { min: -0.3, max: 0.3 };
  if (shape.length !== 4) return { min: -0.3, max: 0.3 };
  const [height = 0, width = 0, channels = 0] = shape;
  const bound = Math.sqrt(6 / (height * width * channels));
  return { min: -bound, max: bound };
}
