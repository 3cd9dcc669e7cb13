/** Counts the tensors that a call leaves beside those it returns. Unlike a count around a `tf.tidy`, which sweeps everything up, it sees what the call itself left. */
import * as tf from '@tensorflow/tfjs-core';

/** What `fn` returns: throws where there are more, or fewer, new tensors than in it. To be called inside a `tf.tidy` too; `fn` is synchronous. */
export function expectOnlyResult<T>(fn: () => T): T {
  const before = tf.memory().numTensors;
  const newest = newestTensor();
  const result = fn();
  const left = tf.memory().numTensors - before;
  const made = [...new Set(tensorsIn(result))].filter(({ id }) => id > newest).length;
  if (left === made) return result;
  const error = new Error(`expectOnlyResult: ${left} more tensors than before, ${made} of them in the result`);
  Error.captureStackTrace(error, expectOnlyResult);
  throw error;
}

function tensorsIn(value: unknown): tf.Tensor[] {
  if (value instanceof tf.Tensor) return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(tensorsIn) : [];
}

/** Ids rise with every tensor. */
function newestTensor(): number {
  const probe = tf.scalar(0);
  probe.dispose();
  return probe.id;
}
