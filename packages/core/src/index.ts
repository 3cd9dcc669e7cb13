/** Contracts and nothing else: what every coda-nets package agrees on. */
import './tfjs.ts';

export { CodaError, type ErrorDetails, type ErrorKind } from './errors.ts';
export {
  ndArray,
  sameShape,
  sizeOf,
  zerosArray,
  type DataByDType,
  type DType,
  type NamedArrays,
  type NdArray,
} from './nd-array.ts';
export { Random, type RandomState } from './random.ts';
export { holdConstant } from './hold-constant.ts';
export { dynamicWeight, withDynamicWeightsHeld } from './dynamic-weights.ts';
export { inferenceContext, trainingContext, type ForwardContext } from './forward-context.ts';
export type {
  ForwardResult,
  FrozenStem,
  JsonObject,
  JsonValue,
  NamedTensors,
  Network,
  Tap,
  WeightSpec,
} from './network.ts';
export type { ArraySpec, Compiled, Engine, Signature, TensorFunction } from './engine.ts';
