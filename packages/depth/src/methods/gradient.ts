/** The gradient itself (Simonyan et al., arXiv 1312.6034), and the gradient times its activation (Shrikumar et al., arXiv 1605.01713). */
import * as tf from '@tensorflow/tfjs-core';
import type { OnePassMethod } from './method.ts';

export interface GradientOptions {
  /** `absolute` sums |∂z/∂a| over the channels, `signed` sums ∂z/∂a. Papers differ and rarely say so. Default signed. */
  readonly sign?: 'signed' | 'absolute';
}

/** Σ_channels ∂z_c/∂a, or Σ_channels |∂z_c/∂a|. */
export function gradient({ sign = 'signed' }: GradientOptions = {}): OnePassMethod {
  return { name: 'gradient', parameters: { sign }, formula: (_, g) => summed(g, sign) };
}

/** IxG: Σ_channels a ⊙ ∂z_c/∂a, signed. */
export function inputXGradient(): OnePassMethod {
  return { name: 'inputXGradient', parameters: {}, formula: (a, g) => tf.sum(tf.mul(a, g), 3) };
}

/** [N, h, w, C] → [N, h, w] */
export function summed(g: tf.Tensor4D, sign: 'signed' | 'absolute'): tf.Tensor3D {
  return tf.sum(sign === 'absolute' ? tf.abs(g) : g, 3);
}
