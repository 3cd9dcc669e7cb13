/**
 * What a unit learns when nothing is asked of it but a large output. Let x ~ N(0, Σ), and A and B have rank r. Every weight w(x) lies in the span of A, so
 * that with the projection P onto it
 *
 *     out(x) = w(x)ᵀ x ≤ ‖w(x)‖·‖P x‖ ≤ ‖P x‖
 *
 * with equality for AB ∝ P where the bound on w is tight (l2, spectral; sq in the limit of large weights). P x is Gaussian with covariance PΣP, E‖P x‖ grows
 * with each of its eigenvalues, and by Cauchy's interlacing theorem all of them are largest where P projects onto the r leading eigenvectors of Σ: the best
 * unit's weights are its principal directions. For `product` the mean is ⟨AB, E[x xᵀ/‖x‖]⟩ / ‖AB‖_F, so that AB is the best approximation of rank r
 * (Eckart and Young) of a matrix with the eigenvectors of Σ, in their order. For `frobenius` B ∝ Aᵀ, and E‖Aᵀx‖ / ‖A‖_F is concave in A Aᵀ, which the leading
 * eigenvectors share, provided that their eigenvalues lie within a factor of about 2 (else it leaves the weaker ones out).
 *
 * The papers' argument is arXiv 2104.00032, section 3.1; the proofs here are ours.
 */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random, withDynamicWeightsHeld } from '@coda-nets/core';
import { useBackend } from '@coda-nets/tools/testkit';
import { codaNorms, dauDense, edauDense, type CodaNorm } from '../src/index.ts';
import { symmetricEigen } from './symmetric-eigen.ts';

const d = 12;
const r = 3;
/** Variances along the principal directions: three that stand out, then a tail that holds half as much together. */
const spectrum = [4, 3.5, 3, 1, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1];
/** Degrees. Seen after 100 steps: 3 to 5, from the randomness of the batches. Of 20,000 random subspaces the median is 83 away, the nearest 46. */
const recovered = 10;
const unrelated = 30;

beforeAll(() => useBackend('cpu'));

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);

/** Gram and Schmidt. */
function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const basis: Float64Array[] = [];
  for (const v of vectors) {
    const rest = basis.reduce((left, q) => left.map((x, i) => x - dot(left, q) * (q[i] as number)), v);
    basis.push(rest.map((x) => x / Math.sqrt(dot(rest, rest))));
  }
  return basis;
}

/** The largest principal angle between the spans of two orthonormal bases, in degrees: 0 where they are the same. */
function largestAngle(U: readonly Float64Array[], V: readonly Float64Array[]): number {
  const cosines = U.map((u) => Float64Array.from(V, (v) => dot(u, v)));
  const { values } = symmetricEigen(
    cosines.flatMap((a) => cosines.map((b) => dot(a, b))),
    U.length,
  );
  return (Math.acos(Math.sqrt(Math.min(1, Math.max(0, values.at(-1) as number)))) * 180) / Math.PI;
}

interface Unit {
  readonly A: tf.Variable;
  readonly B: tf.Variable;
  readonly b: tf.Variable;
}

function output(norm: CodaNorm, x: tf.Tensor2D, { A, B, b }: Unit): tf.Tensor {
  return norm === 'sq' || norm === 'l2' ? dauDense(x, { A, B, b }, { norm }) : edauDense(x, { A, B }, { bound: norm });
}

function columns({ A }: Unit): Float64Array[] {
  const values = A.dataSync();
  return Array.from({ length: r }, (_, s) => Float64Array.from({ length: d }, (_, i) => values[i * r + s] as number));
}

describe.each(codaNorms)('one unit of rank 3 that maximises its mean output (%s)', (norm) => {
  it('turns its weights towards the three leading principal directions of its inputs', () => {
    const random = Random.seeded(11);
    const axes = orthonormal(Array.from({ length: d }, () => Float64Array.from({ length: d }, () => random.normal())));
    const covariance = Float64Array.from({ length: d * d }, (_, e) =>
      axes.reduce((sum, q, i) => sum + (spectrum[i] as number) * (q[Math.floor(e / d)] as number) * (q[e % d] as number), 0),
    );
    const leading = symmetricEigen(covariance, d).vectors.slice(0, r);

    const batch = (size: number): tf.Tensor2D =>
      tf.tidy(() => {
        const along = Float32Array.from({ length: size * d }, (_, i) => Math.sqrt(spectrum[i % d] as number) * random.normal());
        return tf.matMul(tf.tensor2d(along, [size, d]), tf.tensor2d(Float32Array.from(axes.flatMap((q) => [...q])), [d, d]));
      });
    const fresh = (shape: number[], fanIn: number): tf.Variable =>
      tf.tidy(() => {
        const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (2 * random.uniform() - 1) / Math.sqrt(fanIn));
        return tf.variable(tf.tensor(values, shape));
      });
    const unit = { A: fresh([d, 1, r], r), B: fresh([d, r], d), b: fresh([d, 1], r) };
    const before = largestAngle(orthonormal(columns(unit)), leading);

    const adam = tf.train.adam(0.03);
    const trained = norm === 'sq' || norm === 'l2' ? [unit.A, unit.B, unit.b] : [unit.A, unit.B];
    for (let step = 0; step < 100; step++) {
      adam.minimize(() => tf.tidy(() => tf.neg(tf.mean(output(norm, batch(128), unit))) as tf.Scalar), false, trained);
    }

    expect(before, 'the control: a unit that was not trained').toBeGreaterThan(unrelated);
    expect(largestAngle(orthonormal(columns(unit)), leading)).toBeLessThan(recovered);

    // And so do the weights themselves, input by input: nearly all of each w(x) lies along the leading directions.
    tf.tidy(() => {
      const x = batch(64);
      const w = withDynamicWeightsHeld(() => tf.grad((t: tf.Tensor) => tf.sum(output(norm, t as tf.Tensor2D, unit)))(x));
      const within = tf.matMul(w as tf.Tensor2D, tf.tensor2d(leading.map((q) => [...q])), false, true);
      const share = tf.div(tf.sum(tf.square(within)), tf.sum(tf.square(w))).dataSync()[0];
      expect(share).toBeGreaterThan(Math.cos((recovered * Math.PI) / 180) ** 2);
    });
    adam.dispose();
    tf.dispose(Object.values(unit));
  }, 120_000);
});
