/** A graph in ONNX Runtime with the values that it carries from call to call. */
import { ndArray, type DType, type NamedArrays, type NdArray } from '@coda-nets/core';
import { carriedOutput, encodeModel, type Value } from '@coda-nets/onnx';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { traceFolder, type Fallbacks } from './fallbacks.ts';
import type { OnnxRuntime } from './load-onnx-runtime.ts';

/** All that a session is made of: bytes, arrays and options, so that it can be made on another thread. */
export interface SessionPlan {
  /** The bytes, or the path of a file that has weights beside it. */
  readonly model: Uint8Array | string;
  /** Weights that the model has elsewhere, by name. */
  readonly weights?: Readonly<Record<string, Uint8Array>> | undefined;
  readonly options: InferenceSession.SessionOptions;
  /** Computes inputs of `model` from `shared`, once. */
  readonly prologue?: Uint8Array | undefined;
  /** Large constants that are read where they are. */
  readonly shared: NamedArrays;
  /** The names of those of `shared` that `model` itself reads. */
  readonly sharedInputs: readonly string[];
  readonly carried: NamedArrays;
  /** Carried values stay on the GPU from call to call. */
  readonly onGpu?: boolean;
  /** Traces the first call, to tell which nodes ran on the CPU. */
  readonly listFallbacks?: boolean;
}

export interface OnnxSession {
  /** All outputs by name but the carried ones. One call after the other, if values are carried. */
  run(inputs: NamedArrays): Promise<NamedArrays>;
  /** Copies of the carried values, after the calls so far. */
  carried(): Promise<NamedArrays>;
  /** Undefined before the first call, and where they were not asked for. */
  fallbacks(): Promise<Fallbacks | undefined>;
  /** After the calls so far. */
  release(): Promise<void>;
}

export async function openSession(ort: OnnxRuntime, plan: SessionPlan): Promise<OnnxSession> {
  const toTensor = tensorMaker(ort);
  const tensors = (arrays: NamedArrays): Record<string, Tensor> =>
    Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, toTensor(array)]));
  const fixed = await fixedInputs(ort, plan, tensors(plan.shared));
  const carriedNames = Object.keys(plan.carried);
  const carriedOutputs = new Set(carriedNames.map((name) => carriedOutput(name)));
  const traced = plan.listFallbacks === true ? await traceFolder() : undefined;
  let fallbacks: Fallbacks | undefined;
  const { session, reader } = await openOn(ort, plan, traced?.prefix).catch(async (error: unknown) => {
    await traced?.remove();
    throw error;
  });
  const outputNames = session.outputNames.filter((name) => !carriedOutputs.has(name));
  // the first ones are the caller's, who may write over them
  let carried = tensors(Object.fromEntries(Object.entries(plan.carried).map(([name, array]) => [name, copyOf(array)])));
  let busy: Promise<unknown> = Promise.resolve();

  const call = async (inputs: NamedArrays): Promise<NamedArrays> => {
    const results = await session.run({ ...fixed, ...carried, ...tensors(inputs) });
    if (traced !== undefined && fallbacks === undefined) {
      session.endProfiling();
      fallbacks = await traced.read();
    }
    // the results are the next call's inputs as they are: nothing is copied
    disposeOfGpu(carried);
    carried = Object.fromEntries(carriedNames.map((name) => [name, results[carriedOutput(name)] as Tensor]));
    return Object.fromEntries(outputNames.map((name) => [name, toArray(results[name] as Tensor)]));
  };
  return {
    // each call starts from the carried values of the last
    run: (inputs) => {
      const result = carriedNames.length === 0 ? call(inputs) : busy.then(() => call(inputs));
      busy = result.catch(() => undefined);
      return result;
    },
    carried: async () => {
      await busy;
      const held = reader === undefined ? carried : ((await reader.run(carried)) as Record<string, Tensor>);
      const read = (name: string): Tensor => held[reader === undefined ? name : carriedOutput(name)] as Tensor;
      return Object.fromEntries(carriedNames.map((name) => [name, copyOf(toArray(read(name)))]));
    },
    fallbacks: () => Promise.resolve(fallbacks),
    release: async () => {
      await busy;
      disposeOfGpu(carried);
      await session.release();
      await reader?.release();
      await traced?.remove();
    },
  };
}

/** The session of the model and, where its carried values stay on the GPU, the one that reads them. Both or none. */
async function openOn(
  ort: OnnxRuntime,
  { model, weights, options, carried, onGpu }: SessionPlan,
  tracePrefix: string | undefined,
): Promise<{ readonly session: InferenceSession; readonly reader: InferenceSession | undefined }> {
  const names = onGpu === true ? Object.keys(carried) : [];
  const session = await ort.InferenceSession.create(model as Uint8Array, {
    ...options,
    ...(tracePrefix !== undefined && { enableProfiling: true, profileFilePrefix: tracePrefix }),
    ...(weights !== undefined && { externalData: Object.entries(weights).map(([path, data]) => ({ path, data })) }),
    ...(names.length > 0 && {
      preferredOutputLocation: Object.fromEntries(names.map((name) => [carriedOutput(name), 'gpu-buffer' as const])),
    }),
  });
  try {
    return { session, reader: names.length > 0 ? await ort.InferenceSession.create(copyingModel(carried), options) : undefined };
  } catch (error) {
    await session.release();
    throw error;
  }
}

async function fixedInputs(
  ort: OnnxRuntime,
  { prologue, options, sharedInputs }: SessionPlan,
  shared: Record<string, Tensor>,
): Promise<Record<string, Tensor>> {
  const fixed = Object.fromEntries(sharedInputs.map((name) => [name, shared[name] as Tensor]));
  if (prologue === undefined) return fixed;
  // Runs once: an arena would stay, with all that it ever held, for as long as the results.
  const session = await ort.InferenceSession.create(prologue, { ...options, enableCpuMemArena: false });
  try {
    return { ...fixed, ...((await session.run(shared)) as Record<string, Tensor>) };
  } finally {
    await session.release();
  }
}

export const tensorMaker =
  (ort: OnnxRuntime) =>
  ({ dtype, data, shape }: NdArray): Tensor =>
    new ort.Tensor(dtype, data as Float32Array, [...shape]);

export function toArray(tensor: Tensor): NdArray {
  return ndArray(tensor.type as DType, tensor.dims, tensor.data as Float32Array);
}

function copyOf(array: NdArray): NdArray {
  return { ...array, data: array.data.slice() as typeof array.data };
}

/** What lies on a GPU is not collected in time, if at all. */
function disposeOfGpu(tensors: Readonly<Record<string, Tensor>>): void {
  for (const tensor of Object.values(tensors)) if (tensor.location !== 'cpu') tensor.dispose();
}

/** The binding cannot read a tensor on a GPU; a graph that copies it can. */
function copyingModel(arrays: NamedArrays): Uint8Array {
  const values = Object.entries(arrays).map(([name, { dtype, shape }]) => {
    const input: Value = { dtype, shape, hint: name };
    const output: Value = { dtype, shape };
    return { name, input, output };
  });
  return encodeModel({
    inputs: values.map(({ input }) => input),
    outputs: Object.fromEntries(values.map(({ name, output }) => [carriedOutput(name), output])),
    constants: new Map(),
    nodes: values.map(({ input, output }) => ({ op: 'Identity', inputs: [input], output, attributes: {} })),
  });
}
