/** Counts tensors around a piece of work. */
import * as tf from '@tensorflow/tfjs-core';

/** Passes when `fn` leaves as many tensors as it found. Await it when `fn` is asynchronous. */
export function expectNoLeak(fn: () => Promise<unknown>): Promise<void>;
export function expectNoLeak(fn: () => unknown): void;
export function expectNoLeak(fn: () => unknown): void | Promise<void> {
  const before = tf.memory().numTensors;
  const result = fn();
  if (result instanceof Promise) return result.then(() => compare(before));
  compare(before);
}

function compare(before: number): void {
  const after = tf.memory().numTensors;
  if (after === before) return;
  const [count, verb] = after > before ? [after - before, 'left behind'] : [before - after, 'disposed that were not made here'];
  const error = new Error(`expectNoLeak: ${count} tensors ${verb} (${before} before, ${after} after)`);
  Error.captureStackTrace(error, compare);
  throw error;
}
