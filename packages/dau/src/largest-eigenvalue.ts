/**
 * The largest eigenvalue of symmetric positive semidefinite matrices, from above: a matrix divided by the root of that of its Gram matrix has a spectral
 * norm of at most 1. Made of matrix products, so that it runs on any backend and traces. Not an eigenvalue solver: it finds no other value and no vectors.
 *
 *     P = Gᵐ / tr(Gᵐ),  m = 2^squarings               by squaring and dividing by the trace, so that nothing overflows
 *     λ̂ = tr(P G) / (1 − ln r / m)                     λmax ≤ λ̂ ≤ λmax / (1 − ln r / m)
 *
 * Why it is a bound: in the eigenbasis P has the entries pᵢ = λᵢᵐ / Z with Z = Σ λᵢᵐ ≥ λmaxᵐ. Let λmax = 1. As 1 − λ ≤ −ln λ,
 *
 *     1 − tr(P G) = Σ pᵢ(1 − λᵢ) ≤ −Σ pᵢ ln λᵢ = (−Σ pᵢ ln pᵢ − ln Z) / m ≤ ln r / m
 *
 * Gradient: dλmax = tr(P dG), since P tends to the projector onto the eigenvectors of λmax, shared evenly where λmax is multiple: a subgradient there, finite
 * everywhere, 0 at G = 0. P itself counts as a constant.
 */
import * as tf from '@tensorflow/tfjs-core';

/** m = 2²⁰: λ̂ exceeds λmax by a factor of at most 1 + 6·10⁻⁶ at r = 512, which is about what float32 rounds. */
const defaultSquarings = 20;

/** A matrix whose entries are all below this counts as 0. Far below any ε, and far above where float32 loses digits. */
const smallestEntry = 1e-30;

/** G [n, r, r], each symmetric positive semidefinite → λ̂ [n]. `squarings` is so large that 2^squarings > ln r. */
export function largestEigenvalue(G: tf.Tensor3D, squarings = defaultSquarings): tf.Tensor1D {
  return tf.tidy(() => {
    const aligned = tf.sum(tf.mul(projector(G, squarings), G), [1, 2]); // tr(P G): both are symmetric
    return tf.div(aligned, 1 - Math.log(G.shape[2]) / 2 ** squarings);
  });
}

/** Gᵐ / tr(Gᵐ), a constant for the gradient; 0 where G is. */
function projector(G: tf.Tensor3D, squarings: number): tf.Tensor {
  const op = tf.customGrad((...[matrices]) => {
    let P = matrices as tf.Tensor;
    // The largest entry of a positive semidefinite matrix is on its diagonal.
    P = tf.div(P, tf.maximum(tf.max(P, [1, 2], true), smallestEntry));
    for (let i = 0; i < squarings; i++) {
      // tr(P²) = Σ P² for a symmetric P, and at least (tr P)² / r ≥ 1 / r unless G = 0.
      const trace = tf.maximum(tf.sum(tf.square(P), [1, 2], true), 1 / G.shape[2]);
      P = tf.div(tf.matMul(P, P, false, true), trace);
    }
    return { value: P, gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy) };
  });
  return op(G);
}
