/** What a file that was taken for another kind is, by its first bytes; for error messages alone. */

const signatures: readonly (readonly [kind: string, first: readonly number[]])[] = [
  ['a PNG image', [0x89, 0x50, 0x4e, 0x47]],
  ['a JPEG image', [0xff, 0xd8, 0xff]],
  ['a RIFF file, such as a WebP image', [0x52, 0x49, 0x46, 0x46]],
  ['a .npy array', [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]],
  ['a JSON file, such as the index of a model in several files', [0x7b]],
  ['a zip file, such as a .npz or a PyTorch pickle', [0x50, 0x4b, 0x03, 0x04]],
];

/** A file's kind with its article, or undefined where none is known. */
export function fileKind(bytes: Uint8Array): string | undefined {
  // onnx.proto3: ModelProto begins with ir_version (field 1, a varint below 128), then usually opset_import, producer_name or graph
  if (bytes[0] === 0x08 && [0x12, 0x1a, 0x22, 0x2a, 0x3a, 0x42].includes(bytes[2] as number)) return 'an ONNX file';
  return signatures.find(([, first]) => first.every((byte, i) => bytes[i] === byte))?.[0];
}
