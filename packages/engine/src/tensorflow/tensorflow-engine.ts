/** TensorFlow through tfjs-node(-gpu): an optional package, whose absence is a CodaError of kind `unavailable` that says how to get it. */
import { CodaError, type Engine } from '@coda-nets/core';
import { importTfjsNode } from '@coda-nets/tensorflow-setup';
import * as tf from '@tensorflow/tfjs-core';
import { eagerEngine } from '../eager-engine.ts';
import { batchNormConfigs } from './batch-norm-kernels.ts';
import { joinVectorsConfig } from './join-vectors.ts';
import { numericPaddingConfigs } from './numeric-padding-kernels.ts';
import { pointwiseFilterGradientConfig } from './pointwise-filter-gradient.ts';
import { registerReluGradient } from './relu-gradient.ts';

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
  useOneDnn();
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

/**
 * Convolutions, batch norms and products of x64 processors by oneDNN, which TensorFlow takes by itself only where they have AVX-512 VNNI. It tells of it in a line on
 * standard error. What the environment says stays; read when TensorFlow is loaded.
 */
function useOneDnn(): void {
  if (process.arch === 'x64') process.env['TF_ENABLE_ONEDNN_OPTS'] ??= '1';
}

let added = false;

/** What the package refuses or takes apart, in the kernels of TensorFlow. Once: what is wrapped is the package's own. */
function addKernels(): void {
  if (added) return;
  added = true;
  const replace = (config: tf.KernelConfig): void => {
    tf.unregisterKernel(config.kernelName, config.backendName);
    tf.registerKernel(config);
  };
  for (const config of numericPaddingConfigs()) replace(config);
  replace(pointwiseFilterGradientConfig());
  for (const config of [...batchNormConfigs, joinVectorsConfig]) tf.registerKernel(config);
  registerReluGradient();
}
