/** The command line as a library: what the demo and the tests call. */
export { program, reportError, runCli, type ExitCode } from './cli.ts';
export { buildNetwork, networkPresets } from './build-network.ts';
export { openModel, type OpenModel } from './open-model.ts';
export { exportedTaps, exportNetwork, mapOutput, type ExportOptions } from './export-network.ts';
export { verifyOnnx, type Verification } from './verify-onnx.ts';
