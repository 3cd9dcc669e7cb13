/** The one place that loads onnxruntime-node. */
import { CodaError } from '@coda-nets/core';

export type OnnxRuntime = typeof import('onnxruntime-node');

export async function loadOnnxRuntime(): Promise<OnnxRuntime> {
  try {
    const module = await import('onnxruntime-node');
    return (module as { default?: OnnxRuntime }).default ?? module;
  } catch (cause) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'engine onnxruntime',
      problem: 'onnxruntime-node could not be loaded',
      hint: 'It runs on Linux (x64, arm64), macOS (arm64) and Windows; elsewhere use --engine wasm or cpu.',
      cause,
    });
  }
}
