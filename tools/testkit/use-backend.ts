/** Chooses the TensorFlow.js backend of a test file or suite: `await useBackend('cpu')`. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * `cpu` is pure JavaScript: the same on every machine, and slow. `wasm` is one thread of WebAssembly. `tensorflow` is tfjs-node(-gpu), which is here only where
 * somebody set it up: `coda setup tensorflow`.
 */
export type TestBackend = 'cpu' | 'wasm' | 'tensorflow';

/** As `packages/engine` loads it, which the test kit cannot depend on. */
const tensorFlow = new URL('../../packages/engine/src/tensorflow/tensorflow-engine.ts', import.meta.url).href;

const starters: Readonly<Record<TestBackend, () => Promise<unknown>>> = {
  cpu: () => import('@tensorflow/tfjs-backend-cpu'),
  wasm: () => import('@tensorflow/tfjs-backend-wasm'),
  tensorflow: async () => ((await import(tensorFlow)) as { tensorFlowEngine(): Promise<unknown> }).tensorFlowEngine(),
};

/**
 * IS_TEST silences the banner of `cpu`. On wasm, where a clone is a copy, its search for leaks would find one in every op that saves something for its
 * gradient. With CODA_TEST_ENGINE=tensorflow in the environment every suite that would run on `cpu` runs on TensorFlow.
 */
export async function useBackend(name: TestBackend): Promise<void> {
  await start(name === 'cpu' && process.env['CODA_TEST_ENGINE'] === 'tensorflow' ? 'tensorflow' : name);
}

/** `cpu` whatever CODA_TEST_ENGINE says: of suites about kernels of other engines, which are compared with plain JavaScript, edges of whole numbers and all. */
export async function useReference(): Promise<void> {
  await start('cpu');
}

async function start(name: TestBackend): Promise<void> {
  tf.env().set('IS_TEST', name === 'cpu');
  if (!(await hasBackend(name)) || !(await tf.setBackend(name))) throw new Error(`useBackend: backend "${name}" did not start`);
  await tf.ready();
}

/** Whether the backend's package is here and starts: for suites that say visibly that they are skipped. */
export async function hasBackend(name: TestBackend): Promise<boolean> {
  try {
    await starters[name]();
    return true;
  } catch {
    return false;
  }
}
