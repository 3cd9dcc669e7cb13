/** One Dynamic Alignment Unit, trained to give large outputs and nothing else: maximise E[w(x)ᵀx] over its weights. */
import * as tf from '@tensorflow/tfjs-core';
import { withDynamicWeightsHeld, type Random } from '@coda-nets/core';
import { dauDense, edauDense, type CodaNorm } from '@coda-nets/dau';
import { principalDirections, sampleInputs, side } from './patterns.ts';

const d = side * side;
/** As many as there are patterns: a unit of rank r has weights in r dimensions. */
const rank = 4;
/** Inputs in a step. */
const batch = 32;

export interface Unit {
  readonly norm: CodaNorm;
  readonly A: tf.Variable;
  readonly B: tf.Variable;
  readonly b: tf.Variable;
}

export function freshUnit(norm: CodaNorm, random: Random): Unit {
  const uniform = (shape: number[], fanIn: number): tf.Variable =>
    tf.tidy(() => {
      const size = shape.reduce((a, n) => a * n, 1);
      const values = Float32Array.from({ length: size }, () => (2 * random.uniform() - 1) / Math.sqrt(fanIn));
      return tf.variable(tf.tensor(values, shape));
    });
  return { norm, A: uniform([d, 1, rank], rank), B: uniform([d, rank], d), b: uniform([d, 1], rank) };
}

/** x [N, d] → [N, 1] */
function output(x: tf.Tensor2D, { norm, A, B, b }: Unit): tf.Tensor2D {
  return norm === 'sq' || norm === 'l2' ? dauDense(x, { A, B, b }, { norm }) : edauDense(x, { A, B }, { bound: norm });
}

/** Adam on −mean output, over fresh inputs at every step. */
export function maximise(unit: Unit, steps: number, random: Random): void {
  const adam = tf.train.adam(0.03);
  const trained = unit.norm === 'sq' || unit.norm === 'l2' ? [unit.A, unit.B, unit.b] : [unit.A, unit.B];
  for (let step = 0; step < steps; step++) {
    const objective = (): tf.Scalar => tf.tidy(() => tf.neg(tf.mean(output(tf.tensor2d(sampleInputs(batch, random), [batch, d]), unit))));
    adam.minimize(objective, false, trained);
  }
  adam.dispose();
}

/** w(x) for inputs x [N, d]: the gradient of the output while dynamic weights are held. */
export function weightsFor(x: Float32Array, unit: Unit): Float32Array {
  return tf.tidy(() => {
    const inputs = tf.tensor2d(x, [x.length / d, d]);
    const w = withDynamicWeightsHeld(() => tf.grad((t: tf.Tensor) => tf.sum(output(t as tf.Tensor2D, unit)))(inputs));
    return w.dataSync() as Float32Array;
  });
}

/** Each principal direction projected onto the span of A, in which every weight w(x) lies (but for the offset b of a DAU). */
export function projectedDirections({ A }: Unit): Float32Array[] {
  const basis: Float64Array[] = [];
  const values = A.dataSync();
  for (let s = 0; s < rank; s++) {
    let column: Float64Array = Float64Array.from({ length: d }, (_, i) => values[i * rank + s] as number);
    for (const q of basis) column = minus(column, q, dot(column, q));
    basis.push(column.map((x) => x / Math.sqrt(dot(column, column))));
  }
  return principalDirections.map((direction) => {
    const projection = new Float32Array(d);
    for (const q of basis) for (const [i, x] of q.entries()) projection[i]! += dot(direction, q) * x;
    return projection;
  });
}

/** ‖projection‖² of a unit vector: 1 where the unit has found it, rank / d where it knows nothing. */
export function share(projection: Float32Array): number {
  return dot(projection, projection);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function minus(a: Float64Array, b: Float64Array, factor: number): Float64Array {
  return a.map((x, i) => x - factor * (b[i] as number));
}
