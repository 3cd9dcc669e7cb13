/** What wrong options, wrong arrays and graphs that stop half way get: CodaErrors that say what, where, and what was expected. */
import { ndArray, type NdArray } from '@coda-nets/core';
import { eagerEngine, onnxRuntimeEngine, openOnnx } from '@coda-nets/engine';
import { encodeModel, trace } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkProvider, executionProviders } from '../src/execution-provider.ts';
import { loadOnnxRuntime } from '../src/load-onnx-runtime.ts';

beforeAll(() => useBackend('cpu'));

const signature = { inputs: { x: { shape: ['batch', 2], dtype: 'float32' as const } } };
const twice = ({ x }: Readonly<Record<string, tf.Tensor>>) => ({ y: tf.mul(x as tf.Tensor, 2) });

describe('options of the engine', () => {
  it.each<[object | string | null, string]>([
    [{ threads: -1 }, 'onnxRuntimeEngine: threads: not what this option may be; expected a whole number of at least 1, got -1'],
    [{ threads: 0 }, 'expected a whole number of at least 1, got 0'],
    [{ threads: Number.NaN }, 'expected a whole number of at least 1, got NaN'],
    [{ threads: 1.5 }, 'expected a whole number of at least 1, got 1.5'],
    [{ threads: '2' }, 'expected a whole number of at least 1, got 2'],
    [{ threads: 2 ** 40 }, 'expected a whole number of at least 1, got 1099511627776'],
    [{ copyConstantsUpTo: -1 }, 'copyConstantsUpTo: not what this option may be; expected a number of bytes, from 0 to Infinity, got -1'],
    [{ blocked: 'no' }, 'blocked: not what this option may be; expected true or false, got no'],
    [{ ownThread: 1 }, 'ownThread: not what this option may be; expected true or false, got 1'],
    [{ profile: '' }, 'profile: not what this option may be; expected a path, got '],
    [{ provider: 'tensorrt' }, 'provider: not what this option may be; expected cpu or cuda, got tensorrt'],
    [
      { thread: 2 },
      'onnxRuntimeEngine: thread: no such option; expected threads, copyConstantsUpTo, blocked, ownThread, profile, provider, got thread. Did you mean threads?',
    ],
    ['fast', 'onnxRuntimeEngine: its options; expected an object, got fast'],
    [null, 'onnxRuntimeEngine: its options; expected an object, got null'],
  ])('%j', async (options, text) => {
    await expect(onnxRuntimeEngine(options as object)).rejects.toThrow(text);
  });

  it('the same of files', async () => {
    await expect(openOnnx(encodeModel(trace(twice, signature)), 'twice.onnx', { threads: 0 })).rejects.toThrow(
      'openOnnx: threads: not what',
    );
  });
});

describe.each([
  ['onnxruntime', () => onnxRuntimeEngine({ threads: 1 })],
  ['cpu', async () => eagerEngine({ name: 'cpu', backend: 'cpu', description: '' })],
] as const)('arrays that are none, on %s', (_, engine) => {
  it.each<[unknown, string]>([
    [{ dtype: 'float32', shape: [2, 2], data: new Float32Array(3) }, 'its data do not fill [2, 2]; expected 4 elements, got 3'],
    [{ dtype: 'float32', shape: [2, 2], data: new Float32Array(9) }, 'its data do not fill [2, 2]; expected 4 elements, got 9'],
    [
      { dtype: 'float32', shape: [1, 2], data: new Float64Array(2) },
      'its data are not those of float32; expected Float32Array, got Float64Array',
    ],
    [{ dtype: 'float32', shape: [1, 2], data: [1, 2] }, 'its data are not those of float32; expected Float32Array, got Array'],
    [
      { dtype: 'int32', shape: [1, 2], data: new Int32Array(2) },
      'another shape or dtype than compiled for; expected float32 [batch, 2], got int32 [1, 2]',
    ],
    [{ dtype: 'float16', shape: [1, 2], data: new Float32Array(2) }, 'a dtype that nothing here has; expected float32, float64, int8,'],
    [{ dtype: 'float32', shape: [-1, 2], data: new Float32Array(2) }, 'its data do not fill [-1, 2]'],
    [new Float32Array(2), 'not an array; expected an object with dtype, shape and data, got Float32Array'],
    [null, 'not an array; expected an object with dtype, shape and data, got null'],
    [3, 'not an array; expected an object with dtype, shape and data, got 3'],
  ])('%j', async (x, text) => {
    const compiled = await (await engine()).compile(twice, signature);
    await expect(compiled.run({ x: x as NdArray })).rejects.toThrow(`run: input "x": ${text}`);
    // and the next call is as good as any
    expect((await compiled.run({ x: ndArray('float32', [1, 2], Float32Array.of(1, 2)) }))['y']?.data).toEqual(Float32Array.of(2, 4));
    await compiled.dispose();
  });
});

describe('what ONNX Runtime stops at', () => {
  const looked = ({ table, at }: Readonly<Record<string, tf.Tensor>>) => ({
    row: tf.gather(table as tf.Tensor, tf.cast(at as tf.Tensor, 'int32')),
  });
  const inputs = { table: { shape: [3, 2], dtype: 'float32' as const }, at: { shape: [1], dtype: 'int32' as const } };
  const feeds = { table: ndArray('float32', [3, 2], new Float32Array(6)), at: ndArray('int32', [1], Int32Array.of(7)) };

  it.each([false, true])('names node and operator, on a thread of its own: %s', async (thread) => {
    const compiled = await (await onnxRuntimeEngine({ threads: 1, ownThread: thread })).compile(looked, { inputs });
    const failed: unknown = await compiled.run(feeds).catch((error: unknown) => error);
    expect(failed).toMatchObject({
      name: 'CodaError',
      kind: 'numeric',
      where: 'run: node "row" (Gather)',
      problem: expect.stringMatching(/^ONNX Runtime stopped: indices element out of data bounds, idx=7/) as string,
    });
    await compiled.dispose();
  });

  it('the same in a file, by its name', async () => {
    const file = await openOnnx(encodeModel(trace(looked, { inputs })), 'table.onnx', { threads: 1 });
    await expect(file.run(feeds)).rejects.toThrow('table.onnx: node "row" (Gather): ONNX Runtime stopped: indices element');
    await file.dispose();
  });

  it('a call after the end', async () => {
    const compiled = await (await onnxRuntimeEngine({ threads: 1 })).compile(twice, signature);
    await compiled.dispose();
    await expect(compiled.run({ x: ndArray('float32', [1, 2], new Float32Array(2)) })).rejects.toMatchObject({ name: 'CodaError' });
  });
});

describe('CUDA', () => {
  it('is unavailable without its library, and says how to get it', async () => {
    await expect(onnxRuntimeEngine({ provider: 'cuda' })).rejects.toMatchObject({
      kind: 'unavailable',
      where: 'engine onnxruntime: provider cuda',
      problem: expect.stringMatching(/providers_cuda\.\w+ is not beside the binding of onnxruntime-node|has no CUDA on/) as string,
    });
    await expect(onnxRuntimeEngine({ provider: 'cuda' })).rejects.toThrow(/install\.js --onnxruntime-node-install=cuda12|has no CUDA on/);
  });

  it('comes first where its library is, and is unavailable where that does not start', async (context) => {
    if (process.platform !== 'linux') {
      context.skip('the library has another name here');
      return;
    }
    const folder = await mkdtemp(join(tmpdir(), 'coda-cuda-'));
    await writeFile(join(folder, 'libonnxruntime_providers_cuda.so'), 'no library');
    expect(executionProviders('cuda', folder)).toEqual(['cuda', 'cpu']);
    await rm(folder, { recursive: true });
    const ort = await loadOnnxRuntime();
    await expect(checkProvider(ort, 'cuda', { executionProviders: ['cuda', 'cpu'] })).rejects.toThrow(
      'engine onnxruntime: provider cuda: ONNX Runtime cannot start it: ',
    );
  });
});
