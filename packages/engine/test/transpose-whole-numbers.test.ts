/** What becomes of the backend's shaders, without a GPU; what they compute is in tfjs-webgpu.test.ts. */
import type * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { transposeWholeNumbers } from '../src/tfjs-webgpu/transpose-whole-numbers.ts';

/** The code with which a backend that was changed runs a program. */
function codeRun(shaderKey: string, dtype: tf.DataType, code: string): string {
  let seen = '';
  const backend = {
    runWebGPUProgram: (program: { getUserCode(): string }): tf.TensorInfo => {
      seen = program.getUserCode();
      return { dataId: {}, shape: [], dtype };
    },
  };
  transposeWholeNumbers(backend);
  const program = { shaderKey, getUserCode: () => code };
  (backend as { runWebGPUProgram(...args: unknown[]): unknown }).runWebGPUProgram(program, [], dtype);
  return seen;
}

const shader = 'var<workgroup> tile : array<f32, 4>; let bf32y = f32(x); setOutputAtIndex(i, A[j]);';

it.each(['int32', 'bool'] as const)('a transposition of %s reads and writes 32-bit integers', (dtype) => {
  const whole = 'var<workgroup> tile : array<i32, 4>; let bf32y = i32(x); setOutputAtIndexI32(i, A[j]);';
  expect(codeRun('transpose_0,1', dtype, shader)).toBe(whole);
});

it('leaves floats and other programs as they are', () => {
  expect(codeRun('transpose_0,1', 'float32', shader)).toBe(shader);
  expect(codeRun('unary_abs', 'int32', shader)).toBe(shader);
});

it('refuses a shader that it does not know', () => {
  expect(() => codeRun('transpose_0,1', 'int32', 'setOutputAtCoords(i, A[j]);')).toThrow(
    /^tfjs-webgpu: transpose: this version of @tensorflow\/tfjs-backend-webgpu transposes whole numbers in a way that is not known here/,
  );
});
