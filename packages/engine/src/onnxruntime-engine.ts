/** Runs a function as a graph compiled by ONNX Runtime: traced once, optimised once, called often. */
import {
  CodaError,
  type ArraySpec,
  type Compiled,
  type CompiledInStages,
  type Engine,
  type NamedArrays,
  type NdArray,
  type Signature,
  type StageOptions,
  type TensorFunction,
} from '@coda-nets/core';
import {
  cutGraph,
  encodeModel,
  encodeModelInMemory,
  gpuPasses,
  patchesAsConvolutions,
  readModelInfo,
  runPasses,
  splitConstantPart,
  trace,
  type Graph,
  type ModelInfo,
  type Value,
} from '@coda-nets/onnx';
import { readOnnxInfo } from '@coda-nets/onnx/node';
import type { InferenceSession } from 'onnxruntime-node';
import { availableParallelism } from 'node:os';
import { blockOf } from './blocked-operators.ts';
import { checkEngineOptions } from './check-engine-options.ts';
import { checkInputs } from './check-inputs.ts';
import { checkProvider, executionProviders, type Provider } from './execution-provider.ts';
import type { Fallbacks } from './fallbacks.ts';
import { loadOnnxRuntime, type OnnxRuntime } from './load-onnx-runtime.ts';
import { openSession, type OnnxSession, type SessionPlan } from './onnx-session.ts';
import { openInThread } from './open-in-thread.ts';
import { compileError, runError } from './run-error.ts';
import { openStages } from './stage-sessions.ts';

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

const DEFAULT_COPY_CONSTANTS_UP_TO = 64_000_000;

function sessionOptionsOf({
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
    compile: (fn, signature) => compile(ort, settings, fn, signature),
    compileInStages: (fn, signature, stages) => compileInStages(ort, settings, fn, signature, stages),
  };
}

/** What was compiled, and what its calls took. */
export interface CompiledReport {
  /** Nodes of the graph by operator, before ONNX Runtime joins some. */
  readonly operators: Readonly<Record<string, number>>;
  readonly constantBytes: number;
  readonly carriedBytes: number;
  /** Tracing, and what ONNX Runtime did before the first call, in milliseconds. */
  readonly traceTime: number;
  readonly sessionTime: number;
  readonly calls: number;
  /** Of the last 100 calls, in milliseconds; undefined before the first. Where it went, node by node, is what `profile` writes. */
  readonly medianCallTime: number | undefined;
}

export interface OnnxCompiled extends Compiled {
  report(): CompiledReport;
  /** Nodes by operator that ran on the CPU in the first call, where `listFallbacks` asked for them; undefined before it. */
  fallbacks(): Promise<Fallbacks | undefined>;
}

export interface OnnxEngine extends Engine {
  compile(fn: TensorFunction, signature: Signature): Promise<OnnxCompiled>;
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
    const value: Value = { dtype: 'float32', shape: [1], hint: 'x' };
    const y: Value = { dtype: 'float32', shape: [1] };
    const model = encodeModel({
      inputs: [value],
      outputs: { y },
      constants: new Map(),
      nodes: [{ op: 'Identity', inputs: [value], output: y, attributes: {} }],
    });
    await (await ort.InferenceSession.create(model, { ...options, enableProfiling: false, logSeverityLevel: 4 })).release();
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
      compile(
        ort,
        { copyConstantsUpTo: Number.POSITIVE_INFINITY, block: undefined, ownThread, onGpu: true, listFallbacks, options },
        fn,
        signature,
      ),
  };
}

export interface WebGpuOptions extends Pick<OnnxRuntimeOptions, 'threads' | 'profile' | 'ownThread'> {
  /** Traces the first call of what is compiled, so that `fallbacks()` can tell what ran on the CPU; default false. Not together with `profile`. */
  readonly listFallbacks?: boolean;
}

interface CompileSettings {
  readonly copyConstantsUpTo: number;
  readonly onGpu?: boolean;
  readonly listFallbacks?: boolean;
  readonly block: number | undefined;
  readonly ownThread: boolean;
  readonly options: InferenceSession.SessionOptions;
}

export interface OnnxFile extends ModelInfo {
  /** All outputs by name. */
  run(inputs: NamedArrays): Promise<NamedArrays>;
  dispose(): Promise<void>;
}

/** Runs an ONNX model as it is. `where` names it in errors. Throws a CodaError for bytes that ONNX Runtime does not load. */
export async function openOnnx(bytes: Uint8Array, where: string, options: OnnxRuntimeOptions = {}): Promise<OnnxFile> {
  const info = readModelInfo(bytes, where);
  const [outside] = info.externalData;
  if (outside === undefined) return openFile(info, bytes, where, options);
  throw new CodaError({
    kind: 'unsupported',
    where,
    problem: `the weights of "${outside.tensor}" are in another file, ${outside.location}`,
    hint: 'Open it by its path: openOnnxFile.',
  });
}

/** The same for a file on disk, and the files of its weights beside it. Throws a CodaError for weights that are not where the file says. */
export async function openOnnxFile(path: string, options: OnnxRuntimeOptions = {}): Promise<OnnxFile> {
  const { info, bytes } = await readOnnxInfo(path);
  // by its path only where it must be: ONNX Runtime looks beside it for the weights
  return openFile(info, info.externalData.length === 0 ? bytes : path, path, options);
}

async function openFile(info: ModelInfo, model: Uint8Array | string, where: string, options: OnnxRuntimeOptions): Promise<OnnxFile> {
  checkEngineOptions('openOnnx', options);
  const plan: SessionPlan = { model, options: sessionOptionsOf(options), shared: {}, sharedInputs: [], carried: {} };
  const ort = await loadOnnxRuntime();
  let session: OnnxSession;
  try {
    session = await (options.ownThread === true ? openInThread(plan) : openSession(ort, plan));
  } catch (cause) {
    const problem = `ONNX Runtime does not load it: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new CodaError({ kind: 'malformed', where, problem, cause });
  }
  const specs = Object.fromEntries(info.inputs.map(({ name, dtype, shape }) => [name, { dtype, shape } as ArraySpec]));
  return {
    ...info,
    run: async (inputs) => {
      checkInputs(inputs, specs);
      return session.run(inputs).catch((cause: unknown) => {
        throw runError(where, cause);
      });
    },
    dispose: () => session.release(),
  };
}

async function compile(ort: OnnxRuntime, settings: CompileSettings, fn: TensorFunction, signature: Signature): Promise<OnnxCompiled> {
  const start = performance.now();
  const { copyConstantsUpTo, block, ownThread, onGpu = false, listFallbacks = false, options } = settings;
  const recorded = trace(fn, signature, { block });
  const constantBytes = bytesOf(recorded.constants.values());
  // filters are copied, which large weights are not to be
  const copied = constantBytes <= copyConstantsUpTo;
  const convolved = block !== undefined && copied ? [patchesAsConvolutions(block)] : [];
  const traced = runPasses(recorded, onGpu ? gpuPasses : convolved);
  const traceTime = performance.now() - start;
  const split = copied ? { main: traced, prologue: undefined, shared: {} } : splitConstantPart(traced);
  const plan: SessionPlan = {
    ...encodeModelInMemory(split.main),
    options,
    prologue: split.prologue === undefined ? undefined : encodeModel(split.prologue),
    shared: split.shared,
    sharedInputs: split.main.inputs.flatMap(({ hint = '' }) => (Object.hasOwn(split.shared, hint) ? [hint] : [])),
    carried: signature.carried ?? {},
    onGpu,
    listFallbacks,
  };
  const session = await (ownThread ? openInThread(plan) : openSession(ort, plan)).catch((cause: unknown) => {
    throw compileError(cause);
  });
  const sessionTime = performance.now() - start - traceTime;
  const names = Object.keys(signature.inputs);
  let calls = 0;
  const times: number[] = [];
  return {
    run: async (inputs) => {
      checkInputs(inputs, signature.inputs as Readonly<Record<string, ArraySpec>>);
      const begin = performance.now();
      const results = await session
        .run(Object.fromEntries(names.map((name) => [name, inputs[name] as NdArray])))
        .catch((cause: unknown) => {
          throw runError('run', cause);
        });
      times[calls++ % REPORTED_CALLS] = performance.now() - begin;
      return results;
    },
    report: () => ({
      operators: countOperators(traced),
      constantBytes,
      carriedBytes: bytesOf(Object.values(signature.carried ?? {})),
      traceTime,
      sessionTime,
      calls,
      medianCallTime: times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)],
    }),
    carried: () => session.carried(),
    fallbacks: () => session.fallbacks(),
    dispose: () => session.release(),
  };
}

/** On this thread, whatever `ownThread` says: between stages it is this one that sends. */
async function compileInStages(
  ort: OnnxRuntime,
  { block, options }: CompileSettings,
  fn: TensorFunction,
  signature: Signature,
  { mean, early }: StageOptions,
): Promise<CompiledInStages> {
  if (signature.carried !== undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'compileInStages: signature',
      problem: 'a function in stages carries no values',
      expected: 'inputs and constants',
    });
  }
  const staged = cutGraph(trace(fn, signature, { block }), early);
  const sessions = await openStages(ort, staged, options, mean).catch((cause: unknown) => {
    throw compileError(cause);
  });
  const names = Object.keys(signature.inputs);
  return {
    run: async (inputs, onResults) => {
      checkInputs(inputs, signature.inputs as Readonly<Record<string, ArraySpec>>);
      return sessions.run(Object.fromEntries(names.map((name) => [name, inputs[name] as NdArray])), onResults);
    },
    carried: async () => ({}),
    dispose: () => sessions.release(),
  };
}

const REPORTED_CALLS = 100;

const bytesOf = (arrays: Iterable<NdArray>): number => [...arrays].reduce((sum, { data }) => sum + data.byteLength, 0);

function countOperators({ nodes }: Graph): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { op, domain } of nodes) {
    const name = domain === undefined ? op : `${domain}.${op}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
