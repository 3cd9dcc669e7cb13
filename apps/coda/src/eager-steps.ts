/** What every kernel of a function gives when it runs eagerly, in the order in which `traceSteps` records them. */
import { CodaError, ndArray, type Engine, type NamedArrays, type NdArray, type Signature, type TensorFunction } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

export interface EagerStep {
  readonly kernel: string;
  readonly results: readonly NdArray[];
}

/** `engine`: one that `readsBetweenKernels`. Throws a CodaError for another. */
export async function eagerSteps(
  engine: Engine,
  fn: TensorFunction,
  signature: Signature,
  inputs: NamedArrays,
): Promise<readonly EagerStep[]> {
  if (engine.readsBetweenKernels !== true) {
    throw new CodaError({
      kind: 'argument',
      where: 'eagerSteps: engine',
      problem: 'values cannot be read between its kernels',
      expected: 'wasm, cpu or tensorflow',
      got: engine.name,
    });
  }
  const steps: EagerStep[] = [];
  const compiled = await engine.compile((tensors) => listening(steps, () => fn(tensors)), signature);
  try {
    await compiled.run(inputs);
  } finally {
    await compiled.dispose();
  }
  return steps;
}

/** Notes the kernels that TensorFlow.js runs during `work`, but for copies; not those that kernels run themselves. */
function listening<T>(steps: EagerStep[], work: () => T): T {
  const engine = tf.engine();
  const { runKernel } = engine;
  let depth = 0;
  engine.runKernel = function noted(kernel, ...rest) {
    depth++;
    try {
      const result = runKernel.call(engine, kernel, ...rest) as tf.Tensor | tf.Tensor[];
      if (depth === 1 && kernel !== 'Identity') {
        const results = (Array.isArray(result) ? result : [result]).map((y) =>
          ndArray(y.dtype as 'float32', y.shape, (y.dataSync() as Float32Array).slice()),
        );
        steps.push({ kernel, results });
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
