/** Where numbers are computed. */
export { onnxRuntimeEngine, type OnnxRuntimeOptions } from './onnxruntime-engine.ts';
