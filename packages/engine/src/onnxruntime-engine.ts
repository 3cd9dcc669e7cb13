/** Runs a function as a graph compiled by ONNX Runtime: traced once, optimised once, called often. */
import {
  CodaError,
  ndArray,
  type ArraySpec,
  type Compiled,
  type DType,
  type Engine,
  type NamedArrays,
  type NdArray,
  type Signature,
  type TensorFunction,
} from '@coda-nets/core';
import { carriedOutput, encodeModel, readModelInfo, splitConstantPart, trace, type Graph, type ModelInfo } from '@coda-nets/onnx';
import { readOnnxInfo } from '@coda-nets/onnx/node';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { availableParallelism } from 'node:os';
import { checkInputs } from './check-inputs.ts';

type OnnxRuntime = typeof import('onnxruntime-node');

export interface OnnxRuntimeOptions {
  /** Default: every core this process may use. */
  readonly threads?: number;
  /**
   * Constants of more bytes than this in all, default 64 MB, are read where they are instead of being copied and rearranged by ONNX Runtime: explaining
   * L-CoDA at 240×240 peaks at 1.0 GB instead of 1.8. Filters of convolutions are copied always.
   */
  readonly copyConstantsUpTo?: number;
  /** Measures every node of every call, and writes `<profile>_<time>.json` (the trace event format of Chrome) when what was compiled is disposed. */
  readonly profile?: string;
}

const DEFAULT_COPY_CONSTANTS_UP_TO = 64_000_000;

function sessionOptionsOf({ threads = availableParallelism(), profile }: OnnxRuntimeOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    // One block for a whole run, laid out beforehand, is larger than what an arena hands out and takes back: 1.7 GB instead of 1.1 for S-CoDA's step.
    enableMemPattern: false,
    intraOpNumThreads: threads,
    logSeverityLevel: 3,
    ...(profile !== undefined && { enableProfiling: true, profileFilePrefix: profile }),
  };
}

export async function onnxRuntimeEngine(engineOptions: OnnxRuntimeOptions = {}): Promise<Engine> {
  const { threads = availableParallelism(), copyConstantsUpTo = DEFAULT_COPY_CONSTANTS_UP_TO } = engineOptions;
  const ort = await loadOnnxRuntime();
  const sessionOptions = sessionOptionsOf(engineOptions);
  return {
    name: 'onnxruntime',
    description: `ONNX Runtime ${ort.env.versions.node ?? ''}, CPU, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    compile: (fn, signature) => compile(ort, sessionOptions, copyConstantsUpTo, fn, signature),
  };
}

async function loadOnnxRuntime(): Promise<OnnxRuntime> {
  try {
    const module = await import('onnxruntime-node');
    return (module as { default?: OnnxRuntime }).default ?? module;
  } catch (cause) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'engine onnxruntime',
      problem: 'onnxruntime-node could not be loaded',
      hint: 'It runs on Linux (x64, arm64), macOS (arm64) and Windows; elsewhere use --engine wasm or cpu.',
      cause,
    });
  }
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
  if (outside === undefined) return openSession(info, bytes, where, options);
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
  return openSession(info, info.externalData.length === 0 ? bytes : path, path, options);
}

async function openSession(info: ModelInfo, model: Uint8Array | string, where: string, options: OnnxRuntimeOptions): Promise<OnnxFile> {
  const ort = await loadOnnxRuntime();
  let session: InferenceSession;
  try {
    session = await ort.InferenceSession.create(model as string, sessionOptionsOf(options));
  } catch (cause) {
    const problem = `ONNX Runtime does not load it: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new CodaError({ kind: 'malformed', where, problem, cause });
  }
  const toTensor = tensorMaker(ort);
  const specs = Object.fromEntries(
    info.inputs.map(({ name, dtype, shape }) => [
      name,
      { dtype, shape: shape.map((d) => (typeof d === 'number' ? d : 'batch')) } as ArraySpec,
    ]),
  );
  return {
    ...info,
    run: async (inputs) => {
      checkInputs(inputs, specs);
      const results = await session.run(Object.fromEntries(Object.entries(inputs).map(([name, array]) => [name, toTensor(array)])));
      return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, toArray(tensor as Tensor)]));
    },
    dispose: () => session.release(),
  };
}

const tensorMaker =
  (ort: OnnxRuntime) =>
  ({ dtype, data, shape }: NdArray): Tensor =>
    new ort.Tensor(dtype, data as Float32Array, [...shape]);

async function compile(
  ort: OnnxRuntime,
  options: InferenceSession.SessionOptions,
  copyConstantsUpTo: number,
  fn: TensorFunction,
  signature: Signature,
): Promise<Compiled> {
  const toTensor = tensorMaker(ort);
  const traced = trace(fn, signature);
  const constantBytes = [...traced.constants.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  const { graph, fixed } =
    constantBytes > copyConstantsUpTo ? await withSharedConstants(ort, options, traced) : { graph: traced, fixed: {} };
  const session = await ort.InferenceSession.create(encodeModel(graph), options);
  const carriedNames = Object.keys(signature.carried ?? {});
  let carried = Object.fromEntries(Object.entries(signature.carried ?? {}).map(([name, array]) => [name, toTensor(copyOf(array))]));
  let busy: Promise<unknown> = Promise.resolve();

  const call = async (inputs: NamedArrays): Promise<NamedArrays> => {
    checkInputs(inputs, signature.inputs as Readonly<Record<string, ArraySpec>>);
    const feeds: Record<string, Tensor> = { ...fixed, ...carried };
    for (const name of Object.keys(signature.inputs)) feeds[name] = toTensor(inputs[name] as NdArray);
    const results = await session.run(feeds);
    carried = Object.fromEntries(carriedNames.map((name) => [name, results[carriedOutput(name)] as Tensor]));
    const outputs: Record<string, NdArray> = {};
    for (const name of session.outputNames) {
      if (!name.startsWith(carriedOutput(''))) outputs[name] = toArray(results[name] as Tensor);
    }
    return outputs;
  };
  return {
    // one call after the other: each starts from the carried values of the last
    run: (inputs) => {
      const result = carriedNames.length === 0 ? call(inputs) : busy.then(() => call(inputs));
      busy = result.catch(() => undefined);
      return result;
    },
    carried: async () => {
      await busy;
      return Object.fromEntries(carriedNames.map((name) => [name, copyOf(toArray(carried[name] as Tensor))]));
    },
    dispose: async () => {
      await busy;
      await session.release();
    },
  };
}

/** The graph with its large constants, and what depends on them alone, as inputs; `fixed` are their values. */
async function withSharedConstants(
  ort: OnnxRuntime,
  options: InferenceSession.SessionOptions,
  traced: Graph,
): Promise<{ graph: Graph; fixed: Record<string, Tensor> }> {
  const { prologue, main, shared } = splitConstantPart(traced);
  const toTensor = tensorMaker(ort);
  const fixed = Object.fromEntries(Object.entries(shared).map(([name, array]) => [name, toTensor(array)]));
  const feeds = Object.fromEntries(main.inputs.flatMap(({ hint = '' }) => (fixed[hint] === undefined ? [] : [[hint, fixed[hint]]])));
  if (prologue === undefined) return { graph: main, fixed: feeds };
  // Runs once: an arena would stay, with all that it ever held, for as long as the results.
  const session = await ort.InferenceSession.create(encodeModel(prologue), { ...options, enableCpuMemArena: false });
  try {
    return { graph: main, fixed: { ...feeds, ...((await session.run(fixed)) as Record<string, Tensor>) } };
  } finally {
    await session.release();
  }
}

function toArray(tensor: Tensor): NdArray {
  return ndArray(tensor.type as DType, tensor.dims, tensor.data as Float32Array);
}

function copyOf(array: NdArray): NdArray {
  return { ...array, data: array.data.slice() as typeof array.data };
}
