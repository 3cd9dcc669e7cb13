/** The contract of what computes: a TensorFlow.js function goes in, something that runs on host arrays comes out. */
import type { NamedTensors } from './network.ts';
import type { DType, NamedArrays } from './nd-array.ts';

export interface ArraySpec {
  /**
   * A word is any size from 1, the same one wherever it stands in the inputs of one call: `batch`, `height`, `width`. With a factor it is a multiple:
   * `32*height`.
   */
  readonly shape: readonly (number | string)[];
  /** What the function sees: float32 for float32, int32 for int32, int64 and uint8, bool for bool. */
  readonly dtype: Extract<DType, 'float32' | 'int32' | 'int64' | 'uint8' | 'bool'>;
}

/** Synchronous, made of tfjs ops only; gets inputs, constants and carried values by name. */
export type TensorFunction = (inputs: NamedTensors) => NamedTensors;

export interface Signature {
  readonly inputs: Readonly<Record<string, ArraySpec>>;
  /** Values that never change: the weights of a network that is only run. */
  readonly constants?: NamedArrays;
  /**
   * Values that a call hands to the next one: weights, optimiser slots. The function returns each under its own name; they stay where
   * the engine keeps them and are not part of `run`'s result.
   */
  readonly carried?: NamedArrays;
}

export interface Compiled {
  /** One call. Inputs are not kept. Rejects with a CodaError that names an input of wrong shape or dtype. */
  run(inputs: NamedArrays): Promise<NamedArrays>;
  /** A copy of the carried values as they are now. */
  carried(): Promise<NamedArrays>;
  dispose(): Promise<void>;
}

/** How a function runs that crosses processes on its way. */
export interface StageOptions {
  /**
   * Makes of every number its mean over the ranks, in place: of values that `meanOverRanks` marks, several at once. Called in the same order, with as many
   * numbers, on every rank; the next call may come before the last has ended.
   */
  mean(values: Float32Array, label: string): Promise<void>;
  /** Groups of results that are wanted early: each group is computed, and handed out, before anything that is for later groups alone. Default none. */
  readonly early?: readonly (readonly string[])[];
}

export interface CompiledInStages extends Compiled {
  /** `onResults` gets results as soon as they are there, each once; what crosses and what is computed next go on beside what it begins. */
  run(inputs: NamedArrays, onResults?: (results: NamedArrays) => void): Promise<NamedArrays>;
}

export interface Engine {
  readonly name: 'onnxruntime' | 'tensorflow' | 'webgpu' | 'tfjs-webgpu' | 'wasm' | 'cpu';
  /** For people: `ONNX Runtime 1.30.0, CPU, 2 threads`. */
  readonly description: string;
  /**
   * Whether the function itself runs at every call, on a backend whose values it may read without waiting (`dataSync`) between two of its kernels. Without: no.
   */
  readonly readsBetweenKernels?: boolean;
  compile(fn: TensorFunction, signature: Signature): Promise<Compiled>;
  /** The function cut where values cross ranks or are wanted early. For functions without carried values; of engines that can stop on their way. */
  compileInStages?(fn: TensorFunction, signature: Signature, options: StageOptions): Promise<CompiledInStages>;
}
