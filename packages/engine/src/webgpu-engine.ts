/** Runs the same graphs on a GPU. */
import { CodaError } from '@coda-nets/core';
import { checkEngineOptions } from './check-engine-options.ts';
import { compileGraph, type OnnxEngine } from './compile-graph.ts';
import { openNothing } from './execution-provider.ts';
import { loadOnnxRuntime } from './load-onnx-runtime.ts';
import { sessionOptionsOf, type OnnxRuntimeOptions } from './session-options.ts';

export interface WebGpuOptions extends Pick<OnnxRuntimeOptions, 'threads' | 'profile' | 'ownThread'> {
  /** Traces the first call of what is compiled, so that `fallbacks()` can tell what ran on the CPU; default false. Not together with `profile`. */
  readonly listFallbacks?: boolean;
}

/**
 * The same graphs on a GPU, by the WebGPU provider that onnxruntime-node brings along: Vulkan, Metal or Direct3D, without CUDA. What has no WebGPU kernel
 * runs on the CPU. Carried values stay on the GPU. Throws a CodaError of kind `unavailable` where there is no adapter.
 */
export async function webGpuEngine(engineOptions: WebGpuOptions = {}): Promise<OnnxEngine> {
  checkEngineOptions('webGpuEngine', engineOptions, ['threads', 'profile', 'ownThread', 'listFallbacks']);
  const { threads, profile, ownThread = false, listFallbacks = false } = engineOptions;
  const ort = await loadOnnxRuntime();
  const options = {
    ...sessionOptionsOf({ ...(threads !== undefined && { threads }), ...(profile !== undefined && { profile }) }),
    executionProviders: ['webgpu'],
  };
  try {
    await openNothing(ort, options);
  } catch (cause) {
    const reason = cause instanceof Error ? (/Failed to .*/.exec(cause.message)?.[0] ?? cause.message) : String(cause);
    throw new CodaError({
      kind: 'unavailable',
      where: 'engine webgpu',
      problem: `no GPU that WebGPU can use: ${reason}`,
      hint: 'On Linux it needs a Vulkan driver: `vulkaninfo` lists what there is.',
      cause,
    });
  }
  return {
    name: 'webgpu',
    description: `ONNX Runtime ${ort.env.versions.node ?? ''}, WebGPU`,
    compile: (fn, signature) =>
      compileGraph(
        ort,
        { copyConstantsUpTo: Number.POSITIVE_INFINITY, block: undefined, ownThread, onGpu: true, listFallbacks, options },
        fn,
        signature,
      ),
  };
}
