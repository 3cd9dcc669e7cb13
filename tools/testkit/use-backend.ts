/** Chooses the TensorFlow.js backend of a test file or suite: `await useBackend('cpu')`. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * `cpu` is pure JavaScript: the same on every machine, and slow. `wasm` is one thread of WebAssembly. `tensorflow` is tfjs-node(-gpu), which is here
 * only where somebody installed it.
 */
export type TestBackend = 'cpu' | 'wasm' | 'tensorflow';

/** Packages that register each backend; the first that can be imported counts. Names in variables, since tfjs-node is nobody's dependency. */
const packages: Readonly<Record<TestBackend, readonly string[]>> = {
  cpu: ['@tensorflow/tfjs-backend-cpu'],
  wasm: ['@tensorflow/tfjs-backend-wasm'],
  tensorflow: ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'],
};

/**
 * IS_TEST silences the banner of `cpu`. On wasm, where a clone is a copy, its search for leaks would find one in every op that saves something for its
 * gradient.
 */
export async function useBackend(name: TestBackend): Promise<void> {
  tf.env().set('IS_TEST', name === 'cpu');
  if (!(await hasBackend(name)) || !(await tf.setBackend(name))) throw new Error(`useBackend: backend "${name}" did not start`);
  await tf.ready();
}

/** Whether the backend's package is here and starts: for suites that say visibly that they are skipped. */
export async function hasBackend(name: TestBackend): Promise<boolean> {
  for (const candidate of packages[name]) {
    try {
      await import(candidate);
      return true;
    } catch {
      continue;
    }
  }
  return false;
}
