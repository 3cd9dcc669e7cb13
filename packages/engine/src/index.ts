/** Where numbers are computed: compiled by ONNX Runtime, or eagerly on a TensorFlow.js backend. */
export { eagerEngine, type EagerOptions } from './eager-engine.ts';
export { onnxRuntimeEngine, openOnnx, openOnnxFile, type OnnxFile, type OnnxRuntimeOptions } from './onnxruntime-engine.ts';
export { engineNames, listEngines, resolveEngine, type EngineName, type EngineStatus, type ResolvedEngine } from './resolve-engine.ts';
