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

export interface Engine {
  readonly name: 'onnxruntime' | 'tensorflow' | 'webgpu' | 'tfjs-webgpu' | 'wasm' | 'cpu';
  /** For people: `ONNX Runtime 1.30.0, CPU, 2 threads`. */
  readonly description: string;
  compile(fn: TensorFunction, signature: Signature): Promise<Compiled>;
}
