/** What an engine that ONNX Runtime computes may be asked for, and what a session makes of it. */
import type { InferenceSession } from 'onnxruntime-node';
import { availableParallelism } from 'node:os';
import { executionProviders, type Provider } from './execution-provider.ts';

export interface OnnxRuntimeOptions {
  /** Default: every core this process may use. */
  readonly threads?: number;
  /**
   * Constants of more bytes than this in all, default 64 MB, are read where they are instead of being copied and rearranged by ONNX Runtime: explaining
   * L-CoDA at 240×240 peaks at 1.0 GB instead of 1.8. Filters of convolutions are copied always.
   */
  readonly copyConstantsUpTo?: number;
  /**
   * Whether training steps may use ONNX Runtime's own layout of channels in blocks, default true: a step of a ResNet takes about half the time. Used where
   * the runtime has it.
   */
  readonly blocked?: boolean;
  /**
   * Whether what is compiled runs on a thread of its own, default false: ONNX Runtime's binding holds up the thread that calls it until a call is done, so a
   * server or a page of progress stands still for as long. Inputs and results are copied between the threads, constants when the function is compiled.
   */
  readonly ownThread?: boolean;
  /** Measures every node of every call, and writes `<profile>_<time>.json` (the trace event format of Chrome) when what was compiled is disposed. */
  readonly profile?: string;
  /** Default `cpu`; `cuda` where onnxruntime-node was given its library (`execution-provider.ts`). */
  readonly provider?: Provider;
}

/** Throws a CodaError of kind `unavailable` for a provider that is not here. */
export function sessionOptionsOf({
  threads = availableParallelism(),
  profile,
  provider = 'cpu',
}: OnnxRuntimeOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: executionProviders(provider),
    graphOptimizationLevel: 'all',
    // One block for a whole run, laid out beforehand, is larger than what an arena hands out and takes back: 1.7 GB instead of 1.1 for S-CoDA's step.
    enableMemPattern: false,
    intraOpNumThreads: threads,
    // what goes wrong is in the error
    logSeverityLevel: 4,
    ...(profile !== undefined && { enableProfiling: true, profileFilePrefix: profile }),
  };
}
