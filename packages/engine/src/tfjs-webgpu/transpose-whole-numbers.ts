/**
 * Transposition of whole numbers and truth values. The backend's two shaders write floats: one is refused for other numbers, the other rounds them beyond 2²⁴.
 * They are made to read and write 32-bit integers here, as both kinds lie on the GPU, wherever a kernel of the backend runs them: `argMax` does so by itself.
 */
import { CodaError } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';

interface Program {
  shaderKey: string;
  getUserCode(): string;
}

interface Backend {
  runWebGPUProgram(program: Program, inputs: readonly tf.TensorInfo[], dtype: tf.DataType, ...rest: readonly unknown[]): tf.TensorInfo;
}

export function transposeWholeNumbers(backend: Backend): void {
  const run = backend.runWebGPUProgram.bind(backend);
  backend.runWebGPUProgram = (program, inputs, dtype, ...rest) => {
    if ((dtype === 'int32' || dtype === 'bool') && program.shaderKey.startsWith('transpose')) {
      const code = program.getUserCode();
      program.getUserCode = () => ofWholeNumbers(code);
    }
    return run(program, inputs, dtype, ...rest);
  };
}

/** Throws a CodaError where the shader is none of the two that are known: another version of the backend may have others. */
function ofWholeNumbers(code: string): string {
  const whole = code.replaceAll(/\bf32\b/g, 'i32').replaceAll('setOutputAtIndex(', 'setOutputAtIndexI32(');
  if (!whole.includes('setOutputAtIndexI32(')) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'tfjs-webgpu: transpose',
      problem: 'this version of @tensorflow/tfjs-backend-webgpu transposes whole numbers in a way that is not known here',
      expected: '4.22',
      hint: 'Cast to float32 before, where the numbers are below 2^24.',
    });
  }
  return whole;
}
