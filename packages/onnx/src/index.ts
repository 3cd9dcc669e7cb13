/** Any TensorFlow.js function as an ONNX graph. */
export { carriedOutput, type TraceOptions } from './trace-once.ts';
export { trace } from './trace.ts';
export { traceSteps, type TraceStep } from './trace-steps.ts';
export { giveNames } from './give-names.ts';
export { nameTensor } from './name-tensor.ts';
export { runPasses, type Condition, type Pass } from './passes/pass.ts';
export { exactPasses, inferencePasses } from './passes/export-passes.ts';
export { gpuPasses } from './passes/gpu-passes.ts';
export { patchesAsConvolutions } from './passes/patches-as-convolutions.ts';
export {
  encodeModel,
  encodeModelInMemory,
  encodeModelWithData,
  readModelInfo,
  type ArrayInfo,
  type ModelInfo,
  type ModelInMemory,
  type ModelOptions,
  type ModelWithData,
  type Probe,
  withOutputs,
} from './model-proto.ts';
export type { ExternalData } from './external-data.ts';
export { opsets } from './passes/to-opset.ts';
export { splitConstantPart, type SplitGraph } from './passes/split-constant-part.ts';
export { cutGraph, type Crossing, type Stage, type StagedGraph } from './cut-graph.ts';
export { meansOverRanks } from './kernels/mean-over-ranks.ts';
export { printGraph } from './print-graph.ts';
export { kernelSupport, type KernelSupport } from './unsupported-kernels.ts';
export type { Attribute, Dim, Graph, Node, Value } from './graph.ts';
