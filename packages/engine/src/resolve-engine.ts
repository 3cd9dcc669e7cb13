/** Finds out which engines are really here and takes the fastest. */
import { CodaError, nearestName, type Engine } from '@coda-nets/core';
import { gpuReport } from '@coda-nets/tensorflow-setup';
import * as tf from '@tensorflow/tfjs-core';
import { eagerEngine } from './eager-engine.ts';
import { onnxRuntimeEngine } from './onnxruntime-engine.ts';
import type { OnnxRuntimeOptions } from './session-options.ts';
import type { TfjsWebGpuOptions } from './tfjs-webgpu/start-backend.ts';
import { tfjsWebGpuEngine } from './tfjs-webgpu/tfjs-webgpu-engine.ts';
import { tensorFlowEngine, type TensorFlowEngine, type TensorFlowOptions } from './tensorflow/tensorflow-engine.ts';
import { maxPoolGradConfig } from './wasm/max-pool-grad-kernel.ts';
import { webGpuEngine } from './webgpu-engine.ts';

export type EngineName = Engine['name'];

/** Fastest first, as measured on CPUs; TensorFlow comes first where it uses a GPU. A GPU through WebGPU is used where asked for. */
export const engineNames: readonly EngineName[] = ['onnxruntime', 'tensorflow', 'wasm', 'cpu', 'webgpu', 'tfjs-webgpu'];

export interface EngineStatus {
  readonly name: EngineName;
  readonly available: boolean;
  /** The device and version, or why it is not here. */
  readonly description: string;
}

export interface ResolvedEngine {
  readonly engine: Engine;
  /** For people: why this one. */
  readonly reason: string;
}

export type EngineOptions = OnnxRuntimeOptions & TensorFlowOptions & TfjsWebGpuOptions;

type Opener = (options: EngineOptions) => Promise<Engine>;

const openers: Readonly<Record<EngineName, Opener>> = {
  onnxruntime: onnxRuntimeEngine,
  tensorflow: tensorFlowEngine,
  wasm: openWasm,
  cpu: openCpu,
  webgpu: webGpuEngine,
  'tfjs-webgpu': tfjsWebGpuEngine,
};

/** `wanted`: use this one or fail; without it the fastest that opens. */
export async function resolveEngine(wanted?: string, options: EngineOptions = {}): Promise<ResolvedEngine> {
  if (wanted !== undefined) {
    const opener = Object.hasOwn(openers, wanted) ? openers[wanted as EngineName] : undefined;
    if (opener === undefined) {
      const nearest = nearestName(wanted, engineNames);
      throw new CodaError({
        kind: 'argument',
        where: 'engine',
        problem: 'no engine of that name',
        expected: engineNames.join(', '),
        got: wanted,
        hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
      });
    }
    return { engine: await opener(options), reason: 'asked for' };
  }
  const refused: string[] = [];
  const onGpu = await engineOnGpu(options);
  if (onGpu !== undefined) return { engine: onGpu, reason: 'it uses the GPU' };
  for (const name of engineNames) {
    try {
      const engine = await openers[name](options);
      return { engine, reason: refused.length === 0 ? 'the fastest there is' : `the fastest here; ${refused.join('; ')}` };
    } catch (error) {
      if (!CodaError.isInstance(error)) throw error;
      refused.push(`${name}: ${error.problem}`);
    }
  }
  throw unavailable('any', `none could be opened: ${refused.join('; ')}`);
}

/** Every engine with its device, or with the reason why it is not here. */
export async function listEngines(): Promise<readonly EngineStatus[]> {
  const statuses: EngineStatus[] = [];
  for (const name of engineNames) {
    try {
      statuses.push({ name, available: true, description: (await openers[name]({})).description });
    } catch (error) {
      if (!CodaError.isInstance(error)) throw error;
      statuses.push({ name, available: false, description: error.problem });
    }
  }
  return statuses;
}

async function openCpu(): Promise<Engine> {
  await import('@tensorflow/tfjs-backend-cpu');
  await activate('cpu');
  return eagerEngine({ name: 'cpu', backend: 'cpu', description: `TensorFlow.js ${tf.version_core}, plain JavaScript, 1 thread` });
}

async function openWasm(): Promise<Engine> {
  await import('@tensorflow/tfjs-backend-wasm');
  if (!(await activate('wasm'))) throw unavailable('wasm', 'the WebAssembly backend did not start');
  if (tf.getKernel(tf.MaxPoolGrad, 'wasm') !== maxPoolGradConfig) {
    tf.unregisterKernel(tf.MaxPoolGrad, 'wasm');
    tf.registerKernel(maxPoolGradConfig);
  }
  return eagerEngine({
    name: 'wasm',
    backend: 'wasm',
    description: `TensorFlow.js ${tf.version_core}, WebAssembly: explains everything, trains networks of units alone (no filter gradient of convolutions)`,
  });
}

/** TensorFlow, where there is a GPU that it uses. It is not loaded elsewhere. */
async function engineOnGpu(options: EngineOptions): Promise<TensorFlowEngine | undefined> {
  const { gpus, problem } = gpuReport();
  if (gpus.length === 0 || problem !== undefined) return undefined;
  try {
    const engine = await tensorFlowEngine(options);
    return engine.usesGpu ? engine : undefined;
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    return undefined;
  }
}

/** Starts a backend without leaving it chosen. */
async function activate(backend: string): Promise<boolean> {
  const previous = tf.getBackend();
  const started = await tf.setBackend(backend);
  if (previous) await tf.setBackend(previous);
  return started;
}

function unavailable(name: string, problem: string): CodaError {
  return new CodaError({ kind: 'unavailable', where: `engine ${name}`, problem, hint: 'See `coda engines` for what this machine has.' });
}
