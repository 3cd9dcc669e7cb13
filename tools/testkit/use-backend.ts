/** Chooses the TensorFlow.js backend of a test file: `await useBackend('cpu')`. */
import * as tf from '@tensorflow/tfjs-core';

/** `cpu` is pure JavaScript: the same on every machine, and slow. IS_TEST silences its banner. */
export async function useBackend(name: 'cpu'): Promise<void> {
  tf.env().set('IS_TEST', true);
  await import('@tensorflow/tfjs-backend-cpu');
  if (!(await tf.setBackend(name))) throw new Error(`useBackend: backend "${name}" did not start`);
  await tf.ready();
}
