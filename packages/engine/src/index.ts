/** Where numbers are computed: compiled by ONNX Runtime, or eagerly on a TensorFlow.js backend. */
export { eagerEngine, type EagerOptions } from './eager-engine.ts';
export type { Fallbacks } from './fallbacks.ts';
export { compileByShape, type CompiledByShape, type CompileByShapeOptions } from './compile-by-shape.ts';
export type { CompiledReport, OnnxCompiled, OnnxEngine } from './compile-graph.ts';
export { onnxRuntimeEngine } from './onnxruntime-engine.ts';
export { openOnnx, openOnnxFile, type OnnxFile } from './open-onnx.ts';
export type { OnnxRuntimeOptions } from './session-options.ts';
export { webGpuEngine, type WebGpuOptions } from './webgpu-engine.ts';
export { tensorFlowEngine, type TensorFlowEngine, type TensorFlowOptions } from './tensorflow/tensorflow-engine.ts';
export { startTfjsWebGpu, type TfjsWebGpu, type TfjsWebGpuOptions } from './tfjs-webgpu/start-backend.ts';
export { tfjsWebGpuEngine } from './tfjs-webgpu/tfjs-webgpu-engine.ts';
export {
  engineNames,
  listEngines,
  resolveEngine,
  type EngineName,
  type EngineOptions,
  type EngineStatus,
  type ResolvedEngine,
} from './resolve-engine.ts';
