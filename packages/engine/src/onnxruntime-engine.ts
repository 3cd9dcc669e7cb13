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
import { carriedOutput, encodeModel, trace } from '@coda-nets/onnx';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { availableParallelism } from 'node:os';
import { checkInputs } from './check-inputs.ts';

type OnnxRuntime = typeof import('onnxruntime-node');

const ortTypes = { float32: 'float32', float64: 'float64', int32: 'int32', int64: 'int64', uint8: 'uint8', bool: 'bool' } as const;

export interface OnnxRuntimeOptions {
  /** Default: every core this process may use. */
  readonly threads?: number;
}

export async function onnxRuntimeEngine({ threads = availableParallelism() }: OnnxRuntimeOptions = {}): Promise<Engine> {
  const ort = await loadOnnxRuntime();
  const sessionOptions: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    logSeverityLevel: 3,
  };
  return {
    name: 'onnxruntime',
    description: `ONNX Runtime ${ort.env.versions.node ?? ''}, CPU, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    compile: (fn, signature) => compile(ort, sessionOptions, fn, signature),
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

async function compile(
  ort: OnnxRuntime,
  options: InferenceSession.SessionOptions,
  fn: TensorFunction,
  signature: Signature,
): Promise<Compiled> {
  const graph = trace(fn, signature);
  const session = await ort.InferenceSession.create(encodeModel(graph), options);
  const toTensor = ({ dtype, data, shape }: NdArray): Tensor => new ort.Tensor(ortTypes[dtype], data as Float32Array, [...shape]);
  const carriedNames = Object.keys(signature.carried ?? {});
  let carried = Object.fromEntries(Object.entries(signature.carried ?? {}).map(([name, array]) => [name, toTensor(copyOf(array))]));
  let busy: Promise<unknown> = Promise.resolve();

  const call = async (inputs: NamedArrays): Promise<NamedArrays> => {
    checkInputs(inputs, signature.inputs as Readonly<Record<string, ArraySpec>>);
    const feeds: Record<string, Tensor> = { ...carried };
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

function toArray(tensor: Tensor): NdArray {
  return ndArray(tensor.type as DType, tensor.dims, tensor.data as Float32Array);
}

function copyOf(array: NdArray): NdArray {
  return { ...array, data: array.data.slice() as typeof array.data };
}
