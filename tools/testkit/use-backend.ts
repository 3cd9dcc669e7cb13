/** Chooses the TensorFlow.js backend of a test file: `await useBackend('cpu')`. */
import * as tf from '@tensorflow/tfjs-core';

/** `cpu` is pure JavaScript: the same on every machine, and slow. `wasm` is the browser's. IS_TEST silences the banner. */
export async function useBackend(name: 'cpu' | 'wasm'): Promise<void> {
  tf.env().set('IS_TEST', true);
  await (name === 'cpu' ? import('@tensorflow/tfjs-backend-cpu') : import('@tensorflow/tfjs-backend-wasm'));
  if (!(await tf.setBackend(name))) throw new Error(`useBackend: backend "${name}" did not start`);
  await tf.ready();
}
