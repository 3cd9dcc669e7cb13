/** Runs a function as a graph compiled by ONNX Runtime: traced once, optimised once, called often. */
import { availableParallelism } from 'node:os';
import { blockOf } from './blocked-operators.ts';
import { checkEngineOptions } from './check-engine-options.ts';
import { compileGraph, type OnnxEngine } from './compile-graph.ts';
import { compileInStages } from './compile-in-stages.ts';
import { checkProvider } from './execution-provider.ts';
import { loadOnnxRuntime } from './load-onnx-runtime.ts';
import { sessionOptionsOf, type OnnxRuntimeOptions } from './session-options.ts';

const DEFAULT_COPY_CONSTANTS_UP_TO = 64_000_000;

export async function onnxRuntimeEngine(engineOptions: OnnxRuntimeOptions = {}): Promise<OnnxEngine> {
  checkEngineOptions('onnxRuntimeEngine', engineOptions);
  const {
    provider = 'cpu',
    threads = availableParallelism(),
    copyConstantsUpTo = DEFAULT_COPY_CONSTANTS_UP_TO,
    blocked = true,
    ownThread = false,
  } = engineOptions;
  const ort = await loadOnnxRuntime();
  await checkProvider(ort, provider, sessionOptionsOf(engineOptions));
  const block = blocked && provider === 'cpu' ? await blockOf(ort, sessionOptionsOf({ threads: 1 })) : undefined;
  const settings = { copyConstantsUpTo, block, ownThread, options: sessionOptionsOf(engineOptions) };
  return {
    name: 'onnxruntime',
    description: `ONNX Runtime ${ort.env.versions.node ?? ''}, ${provider.toUpperCase()}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    compile: (fn, signature) => compileGraph(ort, settings, fn, signature),
    compileInStages: (fn, signature, stages) => compileInStages(ort, settings, fn, signature, stages),
  };
}
