/** Names in the graph for what a function computes on its way. */
import * as tf from '@tensorflow/tfjs-core';
import { RecordingBackend } from './recording-backend.ts';

/** While tracing, the value that `x` is gets this name, unless it has one; outside it does nothing. Returns `x`. */
export function nameTensor<T extends tf.Tensor>(x: T, name: string): T {
  const backend = tf.backend();
  if (backend instanceof RecordingBackend) backend.builder.name(backend.arrayOf(x).value, name);
  return x;
}
