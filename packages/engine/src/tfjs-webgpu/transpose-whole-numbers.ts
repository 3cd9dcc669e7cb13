/**
 * Transposition of whole numbers and truth values. The backend's two shaders write floats: one is refused for other numbers, the other rounds them beyond 2²⁴.
 * They are made to read and write 32-bit integers here, as both kinds lie on the GPU, wherever a kernel of the backend runs them: `argMax` does so by itself.
 */
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
    if (dtype !== 'float32' && program.shaderKey.startsWith('transpose')) {
      const code = program.getUserCode();
      program.getUserCode = () => code.replaceAll('f32', 'i32').replaceAll('setOutputAtIndex(', 'setOutputAtIndexI32(');
    }
    return run(program, inputs, dtype, ...rest);
  };
}
