/** Contracts and nothing else: what every coda-nets package agrees on. */
import './tfjs.ts';

export { checkAll } from './check-all.ts';
export { CodaError, type ErrorDetails, type ErrorKind } from './errors.ts';
export {
  arrayConstructors,
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
export { groupedConv2d, groupedConvKernels, type GroupedConvAttrs } from './grouped-conv2d.ts';
export { batchNormKernels } from './batch-norm-kernels.ts';
export { joinVectorsKernel } from './join-vectors-kernel.ts';
export { meanOverRanks, meanOverRanksKernel } from './mean-over-ranks.ts';
export { offTape } from './off-tape.ts';
export { dynamicWeight, dynamicWeightsAreHeld, withDynamicWeightsHeld } from './dynamic-weights.ts';
export { withGradientRules, type GradientRule, type RuleOperands } from './gradient-rules.ts';
export { inferenceContext, recordTaps, trainingContext, type ForwardContext, type RankStatistics } from './forward-context.ts';
export type {
  DynamicLinear,
  Locality,
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
export { fitsShape, openSize, type OpenSize } from './open-size.ts';
export { oneProcess, type GroupArray, type GroupReport, type ProcessGroup, type Reducible, type Reduction } from './process-group.ts';
export type { ArraySpec, Compiled, CompiledInStages, Engine, Signature, StageOptions, TensorFunction } from './engine.ts';
export { gradientsAtTaps, type Objective, type TapGradients } from './taps.ts';
export { linearMap, linearMapAt, linearMapPenalty, type LinearMap, type LinearMapOfImages, type LinearMapOptions } from './linear-map.ts';
export { oneHot } from './one-hot.ts';
export { checkWeights, initWeights } from './check-weights.ts';
export { parseConfig, type ConfigMistake } from './parse-config.ts';
export { checkObject, checkOptions, checkPerImage, checkTensor, described } from './check-argument.ts';
export { listedNames } from './listed-names.ts';
export { nearestName } from './nearest-name.ts';
export { decodeSafetensors, type Safetensors } from './decode-safetensors.ts';
export { encodeSafetensors } from './encode-safetensors.ts';
export { openSafetensors } from './open-safetensors.ts';
export type { FetchOptions } from './fetch-source.ts';
export type { ReadOptions } from './byte-source.ts';
export type { ReadAllOptions, SafetensorsFile } from './safetensors-file.ts';
export type { HalfDType, SafetensorsDType } from './safetensors-dtypes.ts';
export type { TensorInfo } from './safetensors-header.ts';
export { decodeFloat16, encodeFloat16 } from './half-floats.ts';
export { decodeNpy, encodeNpy } from './npy.ts';
export { decodeModel, encodeModel, type Model } from './model-file.ts';
export { modelCardSchema, type ModelCard } from './model-card.ts';
export { preprocessingSchema, type Preprocessing } from './preprocessing.ts';
