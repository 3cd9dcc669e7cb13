/**
 * What ONNX Runtime computes on: the CPU, or CUDA where its library stands beside the binding. onnxruntime-node does not bring that library along: its own install
 * script fetches it, which nobody runs unasked.
 */
import { CodaError } from '@coda-nets/core';
import { encodeModel, type Value } from '@coda-nets/onnx';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { InferenceSession } from 'onnxruntime-node';
import type { OnnxRuntime } from './load-onnx-runtime.ts';

export type Provider = 'cpu' | 'cuda';

const libraries: Readonly<Record<string, string>> = {
  linux: 'libonnxruntime_providers_cuda.so',
  win32: 'onnxruntime_providers_cuda.dll',
};

/** The folder of the binding of this platform. */
function bindingFolder(): string {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(dirname(main)), 'bin', 'napi-v6', process.platform, process.arch);
}

/** The providers of a session, the first first. Throws a CodaError of kind `unavailable` where the library is missing, with the command that fetches it. */
export function executionProviders(provider: Provider, folder = bindingFolder()): readonly string[] {
  if (provider === 'cpu') return ['cpu'];
  const library = libraries[process.platform];
  if (library !== undefined && existsSync(join(folder, library))) return ['cuda', 'cpu'];
  throw new CodaError({
    kind: 'unavailable',
    where: 'engine onnxruntime: provider cuda',
    problem:
      library === undefined
        ? `ONNX Runtime has no CUDA on ${process.platform}`
        : `${library} is not beside the binding of onnxruntime-node`,
    hint:
      library === undefined
        ? undefined
        : 'Where CUDA 12 and cuDNN 9 are installed, `node node_modules/onnxruntime-node/script/install.js --onnxruntime-node-install=cuda12` fetches it. Without, take --engine webgpu.',
  });
}

/** Opens a session, so that a library which does not load is known before anything is compiled for it. */
export async function checkProvider(ort: OnnxRuntime, provider: Provider, options: InferenceSession.SessionOptions): Promise<void> {
  if (provider === 'cpu') return;
  try {
    await openNothing(ort, options);
  } catch (cause) {
    throw new CodaError({
      kind: 'unavailable',
      where: `engine onnxruntime: provider ${provider}`,
      problem: `ONNX Runtime cannot start it: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'It needs the CUDA 12 runtime and cuDNN 9 where the system looks for libraries, and a driver that goes with them.',
      cause,
    });
  }
}

/** A session that copies one number, opened and released: throws what ONNX Runtime says where a provider of `options` does not start. */
export async function openNothing(ort: OnnxRuntime, options: InferenceSession.SessionOptions): Promise<void> {
  const x: Value = { dtype: 'float32', shape: [1], hint: 'x' };
  const y: Value = { dtype: 'float32', shape: [1] };
  const node = { op: 'Identity', inputs: [x], output: y, attributes: {} };
  const model = encodeModel({ inputs: [x], outputs: { y }, constants: new Map(), nodes: [node] });
  await (await ort.InferenceSession.create(model, { ...options, enableProfiling: false, logSeverityLevel: 4 })).release();
}
