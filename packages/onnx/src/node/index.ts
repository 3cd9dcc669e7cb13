/** The file side of this package, for Node only. */
export { tfjsModelFiles, type TfjsModelFiles } from './tfjs-model-files.ts';
export { writeOnnx, type WriteOptions, type WrittenModel } from './write-onnx.ts';
export { readOnnxInfo } from './read-onnx-info.ts';
