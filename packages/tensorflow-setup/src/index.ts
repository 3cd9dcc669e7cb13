/** Sets up `@tensorflow/tfjs-node(-gpu)` against a modern TensorFlow, finds it and loads it. */
export { planTensorFlow, type CarryOutOptions, type TensorFlowPlan, type TensorFlowSetupOptions } from './set-up-tensorflow.ts';
export { removeTensorFlow, type Removal } from './remove-tensorflow.ts';
export { findInstallation, tensorFlowFolder, type Installation, type Manifest, type PackageName } from './tensorflow-folder.ts';
export { importTfjsNode, type ImportOptions, type TfjsNode } from './import-tfjs-node.ts';
export { gpuReport, type GpuReport, type GpuReportOptions } from './gpu-report.ts';
export type { Machine, Outcome } from './machine.ts';
