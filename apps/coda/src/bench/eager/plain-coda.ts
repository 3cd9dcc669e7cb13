/**
 * A CoDA network as one writes it with TensorFlow.js alone: the low-rank form of a unit with convolutions in the place of patches, gradients by the tape. What `coda bench
 * eager` measures against; it shares no line with `@coda-nets/dau` but names and layout of the weights. With u = Bp for every patch p, and for each of n units j
 *
 *     out_j = v_jᵀp · ‖v_j‖ / (1 + ‖v_j‖²)      v_jᵀp = (A_jᵀp)·u + b_jᵀp      ‖v_j‖² = u·(G_j u) + 2 h_j·u + ‖b_j‖²      G_j = A_jᵀA_j, h_j = A_jᵀb_j
 *
 * arXiv 2109.13004, section 3 (SQ); the low-rank form is derived in `packages/dau/src/low-rank-form.ts`.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { PlainForward } from './plain-training.ts';

const EPSILON = 1e-12;

export interface PlainCodaConfig {
  readonly layers: readonly { readonly stride: number; readonly padding: number }[];
  readonly temperature: number;
  readonly logitBias: number;
}

export function plainCoda({ layers, temperature, logitBias }: PlainCodaConfig): PlainForward {
  return (weights, images) => {
    let x = tf.concat4d([images, tf.sub(1, images)], 3);
    for (const [i, { stride, padding }] of layers.entries()) {
      const [A, B, b] = (['A', 'B', 'b'] as const).map((name) => weights[`layers.${i}.${name}`] as tf.Tensor) as [
        tf.Tensor5D,
        tf.Tensor4D,
        tf.Tensor4D,
      ];
      const padded = padding === 0 ? x : tf.pad4d(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]]); // prettier-ignore
      x = units(padded, A, B, b, stride);
    }
    return tf.add(tf.div(tf.sum(x, [1, 2]), temperature), logitBias) as tf.Tensor2D;
  };
}

/** A [k, k, C, n, r], B [k, k, C, r], b [k, k, C, n] */
function units(x: tf.Tensor4D, A: tf.Tensor5D, B: tf.Tensor4D, b: tf.Tensor4D, stride: number): tf.Tensor4D {
  const [k, , channels, n, r] = A.shape;
  const d = k * k * channels;
  const u = tf.conv2d(x, B, stride, 'valid');
  const projections = tf.conv2d(x, tf.reshape(A, [k, k, channels, n * r]) as tf.Tensor4D, stride, 'valid');
  const offsets = tf.conv2d(x, b, stride, 'valid');
  const [batch, height, width] = u.shape;
  const positions = batch * height * width;
  const rows: tf.Tensor2D = tf.reshape(u, [positions, r]);
  const along = (values: tf.Tensor): tf.Tensor =>
    tf.reshape(tf.matMul(tf.reshape(values, [positions, n, r]), tf.expandDims(rows, 2)), [positions, n]);
  const perUnit = tf.transpose(tf.reshape(A, [d, n, r]), [1, 0, 2]); // [n, d, r]
  const bias = tf.transpose(tf.reshape(b, [d, n])); // [n, d]
  const gram = tf.matMul(perUnit, perUnit, true); // [n, r, r]
  const offset = tf.reshape(tf.matMul(perUnit, tf.expandDims(bias, 2), true), [n, r]);
  const images = tf.matMul(rows, tf.reshape(tf.transpose(gram, [1, 0, 2]), [r, n * r])); // G_j u, for each unit
  const linear = tf.mul(tf.matMul(rows, tf.transpose(offset)), 2);
  const squaredNorm = tf.add(tf.add(along(images), linear), tf.sum(tf.square(bias), 1));
  const s = tf.add(tf.relu(squaredNorm), EPSILON);
  const alignment = tf.add(along(projections), tf.reshape(offsets, [positions, n]));
  return tf.reshape(tf.div(tf.mul(alignment, tf.sqrt(s)), tf.add(s, 1)), [batch, height, width, n]);
}
