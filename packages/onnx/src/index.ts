/** Any TensorFlow.js function as an ONNX graph. */
export { carriedOutput, trace, type TraceOptions } from './trace.ts';
export { encodeModel, readModelInfo, type ArrayInfo, type ModelInfo, type ModelOptions } from './model-proto.ts';
export { splitConstantPart, type SplitGraph } from './passes/split-constant-part.ts';
export { printGraph } from './print-graph.ts';
export { kernelSupport, type KernelSupport } from './unsupported-kernels.ts';
export type { Attribute, Dim, Graph, Node, Value } from './graph.ts';
