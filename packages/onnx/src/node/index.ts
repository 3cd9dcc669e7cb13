/** The file side of onnx, for Node only. */
export { writeOnnx, type WriteOptions, type WrittenModel } from './write-onnx.ts';
export { readOnnxInfo } from './read-onnx-info.ts';
