/** The kernels of TensorFlow.js that are not recorded, and why: said when a function that is traced calls one, and in docs/onnx-kernels.md. */
import * as tf from '@tensorflow/tfjs-core';
import { unsupportedKernel } from './kernel.ts';
import { recordingBackendName } from './recording-backend.ts';

const complex = 'ONNX has no complex numbers';
const strings = 'strings are not recorded';
const ragged = 'ragged and sparse tensors have sizes that depend on values';
const nameOnly = 'no operation of TensorFlow.js runs it';
const pooling = 'of maximum pooling the two-dimensional one and its gradient are recorded alone';

const reasons: Readonly<Record<string, string>> = {
  BitwiseAnd: 'ONNX has it from opset 18 on',
  BroadcastArgs: 'shapes that are values',
  BroadcastTo: `${nameOnly}: tf.broadcastTo runs Tile`,
  Complex: complex,
  ComplexAbs: complex,
  CropAndResize: 'boxes are values, and ONNX has no operator that samples as it does',
  Dilation2DBackpropFilter: 'the gradient of a morphological filter',
  Dilation2DBackpropInput: 'the gradient of a morphological filter',
  Draw: 'draws on a canvas',
  FFT: complex,
  FromPixels: 'reads an image: hand its numbers in',
  IFFT: complex,
  Imag: complex,
  LogSoftmax: `${nameOnly}: tf.logSoftmax runs Max, Sub, Exp, Sum and Log`,
  LogicalXor: `${nameOnly}: tf.logicalXor runs LogicalAnd, LogicalOr and LogicalNot`,
  LowerBound: `${nameOnly}: tf.lowerBound runs SearchSorted`,
  MatrixBandPart: `${nameOnly}: tf.linalg.bandPart runs Select`,
  MaxPool3D: pooling,
  MaxPool3DGrad: pooling,
  MaxPoolWithArgmax: pooling,
  Multinomial: 'random numbers are not recorded: draw them outside and hand them in',
  NonMaxSuppressionV3: 'the number of results depends on values',
  NonMaxSuppressionV4: 'the number of results depends on values',
  NonMaxSuppressionV5: 'the number of results depends on values',
  Pool: nameOnly,
  RaggedGather: ragged,
  RaggedRange: ragged,
  RaggedTensorToTensor: ragged,
  Real: complex,
  RotateWithOffset: 'ONNX has no operator that rotates an image',
  SparseFillEmptyRows: ragged,
  SparseReshape: ragged,
  SparseSegmentMean: ragged,
  SparseSegmentSum: ragged,
  StaticRegexReplace: strings,
  StringNGrams: strings,
  StringSplit: strings,
  StringToHashBucketFast: strings,
  Transform: 'ONNX has no operator that samples as it does',
  Unique: 'the number of results depends on values',
  UpperBound: `${nameOnly}: tf.upperBound runs SearchSorted`,
};

export interface KernelSupport {
  readonly kernelName: string;
  /** Why it is not recorded; undefined for one that is. */
  readonly reason: string | undefined;
}

const unsupported = new Set<string>();
for (const [kernelName, reason] of Object.entries(reasons)) {
  if (tf.getKernel(kernelName, recordingBackendName) !== undefined) continue;
  unsupported.add(kernelName);
  unsupportedKernel(kernelName, reason);
}

/** Every kernel that TensorFlow.js has a name for, and whether it is recorded. */
export function kernelSupport(): readonly KernelSupport[] {
  const known = Object.entries(tf).flatMap(([key, value]) => (value === key || value === `_${key}` ? [value as string] : []));
  const registered = tf.getKernelsForBackend(recordingBackendName).map(({ kernelName }) => kernelName);
  return [...new Set([...known, ...registered])]
    .toSorted((a, b) => a.localeCompare(b, 'en'))
    .map((kernelName) => {
      const missing = registered.includes(kernelName) ? undefined : 'not known here';
      return { kernelName, reason: unsupported.has(kernelName) ? reasons[kernelName] : missing };
    });
}
