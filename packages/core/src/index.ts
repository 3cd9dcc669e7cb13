/** Contracts and nothing else: what every coda-nets package agrees on. */
import './tfjs.ts';

export { CodaError, type ErrorDetails, type ErrorKind } from './errors.ts';
export { ndArray, sameShape, sizeOf, zerosArray, type DataByDType, type DType, type NamedArrays, type NdArray } from './nd-array.ts';
export { Random, type RandomState } from './random.ts';
export { holdConstant } from './hold-constant.ts';
export { offTape } from './off-tape.ts';
export { dynamicWeight, dynamicWeightsAreHeld, withDynamicWeightsHeld } from './dynamic-weights.ts';
export { withGradientRules, type GradientRule, type RuleOperands } from './gradient-rules.ts';
export { inferenceContext, recordTaps, trainingContext, type ForwardContext } from './forward-context.ts';
export type {
  DynamicLinear,
  ForwardResult,
  FrozenStem,
  JsonObject,
  JsonValue,
  NamedTensors,
  Network,
  Tap,
  UnitAlignment,
  WeightSpec,
} from './network.ts';
export type { ArraySpec, Compiled, Engine, Signature, TensorFunction } from './engine.ts';
export { gradientsAtTaps, type Objective, type TapGradients } from './taps.ts';
export { linearMap, linearMapAt, linearMapPenalty, type LinearMap, type LinearMapOfImages, type LinearMapOptions } from './linear-map.ts';
export { oneHot } from './one-hot.ts';
export { checkWeights, initWeights } from './check-weights.ts';
export { parseConfig } from './parse-config.ts';
export { nearestName } from './nearest-name.ts';
export { decodeSafetensors, encodeSafetensors, type Safetensors } from './safetensors.ts';
export { decodeNpy, encodeNpy } from './npy.ts';
export { decodeModel, encodeModel, type Model } from './model-file.ts';
export { preprocessingSchema, type Preprocessing } from './preprocessing.ts';
