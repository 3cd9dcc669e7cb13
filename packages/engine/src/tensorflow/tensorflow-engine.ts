/** TensorFlow through tfjs-node(-gpu): an optional package, whose absence is a CodaError of kind `unavailable` that says how to get it. */
import { CodaError, type Engine } from '@coda-nets/core';
import { importTfjsNode } from '@coda-nets/tensorflow-setup';
import * as tf from '@tensorflow/tfjs-core';
import { eagerEngine } from '../eager-engine.ts';
import { batchNormConfigs } from './batch-norm-kernels.ts';
import { numericPaddingConfigs } from './numeric-padding-kernels.ts';

export interface TensorFlowOptions {
  /** Which GPU TensorFlow uses, as `nvidia-smi` counts them. Default: what CUDA_VISIBLE_DEVICES says, else the first. */
  readonly device?: number;
}

export interface TensorFlowEngine extends Engine {
  readonly name: 'tensorflow';
  readonly usesGpu: boolean;
}

export async function tensorFlowEngine({ device }: TensorFlowOptions = {}): Promise<TensorFlowEngine> {
  // importing the package makes its backend the current one
  const previous = tf.getBackend();
  try {
    const { tensorflow, package: name, packageVersion, usesGpu, device: where } = await importTfjsNode({ device });
    if (!(await tf.setBackend('tensorflow'))) {
      throw new CodaError({ kind: 'unavailable', where: 'engine tensorflow', problem: 'its backend did not start' });
    }
    addKernels();
    const description = `TensorFlow ${tensorflow} through ${name} ${packageVersion}, ${where}`;
    return { ...eagerEngine({ name: 'tensorflow', backend: 'tensorflow', description }), name: 'tensorflow', usesGpu };
  } finally {
    if (previous) await tf.setBackend(previous);
  }
}

let added = false;

/** What the package refuses or takes apart, in the kernels of TensorFlow. Once: what is wrapped is the package's own. */
function addKernels(): void {
  if (added) return;
  added = true;
  for (const config of numericPaddingConfigs()) {
    tf.unregisterKernel(config.kernelName, config.backendName);
    tf.registerKernel(config);
  }
  for (const config of batchNormConfigs) tf.registerKernel(config);
}
