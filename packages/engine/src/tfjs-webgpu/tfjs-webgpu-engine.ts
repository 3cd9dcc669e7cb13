/**
 * Runs a function call by call on a GPU, on TensorFlow.js' own WebGPU backend. Slower than the engine `webgpu`, which runs graphs; for what cannot be traced, for
 * looking at values in between, and for programs of TensorFlow.js that stay as they are.
 */
import { CodaError, type Compiled, type Engine } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { eagerEngine } from '../eager-engine.ts';
import { startTfjsWebGpu, type TfjsWebGpu, type TfjsWebGpuOptions } from './start-backend.ts';

export async function tfjsWebGpuEngine(options: TfjsWebGpuOptions = {}): Promise<Engine> {
  const gpu = await startTfjsWebGpu(options);
  const description = `TensorFlow.js ${tf.version_core}, WebGPU, ${gpu.description}`;
  const eager = eagerEngine({ name: 'tfjs-webgpu', backend: 'webgpu', description, readsBetweenKernels: false });
  return { ...eager, compile: async (fn, signature) => checked(await eager.compile(fn, signature), gpu) };
}

/** A GPU tells of what it refused beside the results, which are zeros then. */
function checked(compiled: Compiled, gpu: TfjsWebGpu): Compiled {
  const afterwards = async <T>(work: Promise<T>): Promise<T> => {
    try {
      const results = await work;
      gpu.check();
      return results;
    } catch (error) {
      // of a lost device every call fails in its own way
      if (!CodaError.isInstance(error)) gpu.check();
      throw error;
    }
  };
  return { ...compiled, run: (inputs) => afterwards(compiled.run(inputs)), carried: () => afterwards(compiled.carried()) };
}
