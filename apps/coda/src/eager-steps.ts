/** What every kernel of a function gives when it runs eagerly, in the order in which `traceSteps` records them. */
import { CodaError, ndArray, type Engine, type NamedArrays, type NdArray, type Signature, type TensorFunction } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

export interface EagerStep {
  readonly kernel: string;
  readonly results: readonly NdArray[];
}

/** `engine`: one that runs functions call by call. Throws a CodaError for one that compiles them, which has no kernels to listen to. */
export async function eagerSteps(
  engine: Engine,
  fn: TensorFunction,
  signature: Signature,
  inputs: NamedArrays,
): Promise<readonly EagerStep[]> {
  const heard: HeardStep[] = [];
  const compiled = await engine.compile((tensors) => listening(heard, () => fn(tensors)), signature);
  try {
    await compiled.run(inputs);
    // afterwards: what is on a GPU cannot be read without waiting
    const steps = await Promise.all(heard.map(read));
    if (steps.length > 0) return steps;
  } finally {
    tf.dispose(heard.flatMap(({ results }) => results));
    await compiled.dispose();
  }
  throw new CodaError({
    kind: 'argument',
    where: 'eagerSteps: engine',
    problem: 'it compiles functions instead of running them kernel by kernel',
    expected: 'wasm, cpu, tensorflow or tfjs-webgpu',
    got: engine.name,
  });
}

interface HeardStep {
  readonly kernel: string;
  readonly results: tf.Tensor[];
}

async function read({ kernel, results }: HeardStep): Promise<EagerStep> {
  const arrays = results.map(async (y) => ndArray(y.dtype as 'float32', y.shape, ((await y.data()) as Float32Array).slice()));
  return { kernel, results: await Promise.all(arrays) };
}

/** Keeps what the kernels give that TensorFlow.js runs during `work`, but for copies; not those that kernels run themselves. */
function listening<T>(heard: HeardStep[], work: () => T): T {
  const engine = tf.engine();
  const { runKernel } = engine;
  let depth = 0;
  engine.runKernel = function noted(kernel, ...rest) {
    depth++;
    try {
      const result = runKernel.call(engine, kernel, ...rest) as tf.Tensor | tf.Tensor[];
      if (depth === 1 && kernel !== 'Identity') {
        heard.push({ kernel, results: (Array.isArray(result) ? result : [result]).map((y) => tf.keep(tf.clone(y))) });
      }
      return result as never;
    } finally {
      depth--;
    }
  };
  try {
    return work();
  } finally {
    engine.runKernel = runKernel;
  }
}
