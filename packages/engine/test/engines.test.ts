/** Engines as a caller meets them: calls, carried values, dynamic batch, leaks, and the resolver. */
import { CodaError, ndArray, Random, zerosArray, type Engine } from '@coda-nets/core';
import { eagerEngine, engineNames, listEngines, onnxRuntimeEngine, resolveEngine, tfjsWebGpuEngine } from '@coda-nets/engine';
import { nameSoftwareGpu, useReference } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => useReference());

const engines: readonly (readonly [string, () => Promise<Engine>])[] = [
  ['onnxruntime', () => onnxRuntimeEngine({ threads: 1 })],
  ['cpu', async () => eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' })],
];
/** As above, with constants that stay where they are. */
const sharing: (typeof engines)[number] = ['onnxruntime, constants shared', () => onnxRuntimeEngine({ threads: 1, copyConstantsUpTo: 0 })];
const ownThread: (typeof engines)[number] = [
  'onnxruntime on a thread of its own',
  () => onnxRuntimeEngine({ threads: 1, ownThread: true }),
];
const sharingOnThread: (typeof engines)[number] = [
  'onnxruntime on a thread of its own, constants shared',
  () => onnxRuntimeEngine({ threads: 1, ownThread: true, copyConstantsUpTo: 0 }),
];
const vector = (...values: number[]) => ndArray('float32', [values.length], Float32Array.from(values));

nameSoftwareGpu();
const gpuIsHere = await tfjsWebGpuEngine().then(
  () => true,
  () => false,
);
const onGpu: typeof engines = gpuIsHere ? [['tfjs-webgpu', () => tfjsWebGpuEngine()]] : [];
it.skipIf(!gpuIsHere)(`tfjs-webgpu is among them${gpuIsHere ? '' : ' (SKIPPED: no GPU here)'}`, () => expect(onGpu).toHaveLength(1));

describe.each([...engines, sharing, ownThread, sharingOnThread, ...onGpu])('%s', (_, open) => {
  it('carries values from call to call, and hands out copies', async () => {
    const start = { total: vector(0, 0) };
    const sum = await (
      await open()
    ).compile(
      ({ x, total }) => {
        const next = tf.add(total as tf.Tensor, x as tf.Tensor);
        return { total: next, largest: tf.max(next) };
      },
      { inputs: { x: { shape: [2], dtype: 'float32' } }, carried: start },
    );
    const results = await Promise.all([sum.run({ x: vector(1, 2) }), sum.run({ x: vector(10, 20) })]);
    expect(results.map((r) => r['largest']?.data[0])).toEqual([2, 22]);
    expect(Object.keys(results[0] as object)).toEqual(['largest']);
    const copy = (await sum.carried())['total']?.data as Float32Array;
    expect([...copy]).toEqual([11, 22]);
    copy.fill(0);
    await sum.run({ x: vector(1, 1) });
    expect([...((await sum.carried())['total']?.data as Float32Array)]).toEqual([12, 23]);
    expect([...start.total.data]).toEqual([0, 0]);
    await sum.dispose();
  });

  it('runs any batch size, with constants', async () => {
    const product = await (
      await open()
    ).compile(({ x, w }) => ({ y: tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D) }), {
      inputs: { x: { shape: ['batch', 2], dtype: 'float32' } },
      constants: { w: ndArray('float32', [2, 1], Float32Array.of(1, 10)) },
    });
    for (const n of [1, 3, 64]) {
      const { y } = await product.run({ x: ndArray('float32', [n, 2], new Float32Array(2 * n).fill(1)) });
      expect(y?.shape).toEqual([n, 1]);
      expect(new Set(y?.data as Float32Array)).toEqual(new Set([11]));
    }
    await product.dispose();
  });

  it('takes a function that hands on what it was given, or swaps what it carries', async () => {
    const same = await (
      await open()
    ).compile(({ x, w, a, b }) => ({ y: x as tf.Tensor, again: x as tf.Tensor, v: w as tf.Tensor, a: b as tf.Tensor, b: a as tf.Tensor }), {
      inputs: { x: { shape: [1], dtype: 'float32' } },
      constants: { w: vector(7) },
      carried: { a: vector(1), b: vector(2) },
    });
    for (const swapped of [true, false]) {
      const { y, again, v } = await same.run({ x: vector(5) });
      expect([y?.data[0], again?.data[0], v?.data[0]]).toEqual([5, 5, 7]);
      const { a, b } = await same.carried();
      expect([a?.data[0], b?.data[0]]).toEqual(swapped ? [2, 1] : [1, 2]);
    }
    await same.dispose();
  });

  it('spreads one value over a batch of any size', async () => {
    const spread = await (
      await open()
    ).compile(
      ({ x }) => {
        const sums = tf.tile(tf.sum(x as tf.Tensor, [1, 2], true), [1, 2, 3]);
        return { y: tf.reshape(sums, [(x as tf.Tensor).shape[0] * 2, 3]), z: tf.zerosLike(x as tf.Tensor) };
      },
      { inputs: { x: { shape: ['batch', 2, 3], dtype: 'float32' } } },
    );
    for (const n of [1, 5]) {
      const { y, z } = await spread.run({ x: ndArray('float32', [n, 2, 3], new Float32Array(6 * n).fill(1)) });
      expect(y?.shape).toEqual([2 * n, 3]);
      expect(new Set(y?.data as Float32Array)).toEqual(new Set([6]));
      expect(z?.shape).toEqual([n, 2, 3]);
    }
    await spread.dispose();
  });

  it('takes integers and bytes', async () => {
    const compiled = await (
      await open()
    ).compile(
      ({ image, target }) => ({ y: tf.add(tf.div(tf.cast(image as tf.Tensor, 'float32'), 255), tf.cast(target as tf.Tensor, 'float32')) }),
      { inputs: { image: { shape: [2], dtype: 'uint8' }, target: { shape: [2], dtype: 'int64' } } },
    );
    const { y } = await compiled.run({
      image: ndArray('uint8', [2], Uint8Array.of(0, 255)),
      target: ndArray('int64', [2], BigInt64Array.of(3n, -1n)),
    });
    expect([...(y?.data as Float32Array)]).toEqual([3, 0]);
    await compiled.dispose();
  });

  it('names an input that does not fit, and goes on', async () => {
    const twice = await (
      await open()
    ).compile(({ x }) => ({ y: tf.mul(x as tf.Tensor, 2) }), {
      inputs: { x: { shape: ['batch', 2], dtype: 'float32' } },
    });
    await expect(twice.run({ x: vector(1, 2) })).rejects.toThrow(
      'run: input "x": another shape or dtype than compiled for; expected float32 [batch, 2], got float32 [2]',
    );
    await expect(twice.run({ z: vector(1) })).rejects.toThrow('run: inputs: not the inputs of this function; expected x, got z');
    const { y } = await twice.run({ x: ndArray('float32', [1, 2], Float32Array.of(1, 2)) });
    expect([...(y?.data as Float32Array)]).toEqual([2, 4]);
    await twice.dispose();
  });

  it('leaves no tensors behind', async () => {
    const before = tf.memory().numTensors;
    const compiled = await (
      await open()
    ).compile(({ x, w }) => ({ w: tf.add(w as tf.Tensor, x as tf.Tensor), y: tf.square(x as tf.Tensor) }), {
      inputs: { x: { shape: [2], dtype: 'float32' } },
      carried: { w: zerosArray('float32', [2]) },
    });
    for (let i = 0; i < 5; i++) await compiled.run({ x: vector(1, 2) });
    await compiled.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('an engine on a thread of its own', () => {
  const slow = async (engine: Engine, size: number) =>
    engine.compile(({ a }) => ({ y: tf.matMul(tf.matMul(a as tf.Tensor2D, a as tf.Tensor2D), a as tf.Tensor2D) }), {
      inputs: { a: { shape: [size, size], dtype: 'float32' } },
    });

  it('lets the caller go on while it computes', async () => {
    const size = 1024;
    const compiled = await slow(await onnxRuntimeEngine({ threads: 1, ownThread: true }), size);
    let turns = 0;
    let done = false;
    const result = compiled.run({ a: zerosArray('float32', [size, size]) }).finally(() => (done = true));
    const spin = (): void => {
      turns++;
      if (!done) setImmediate(spin);
    };
    spin();
    await result;
    // on the caller's own thread it is one or two
    expect(turns).toBeGreaterThan(20);
    await compiled.dispose();
  });

  it('ends with what was compiled, and says so', async () => {
    const compiled = await slow(await onnxRuntimeEngine({ threads: 1, ownThread: true }), 4);
    await compiled.dispose();
    await expect(compiled.run({ a: zerosArray('float32', [4, 4]) })).rejects.toThrow(
      'engine onnxruntime: the thread of the session has ended',
    );
  });
});

describe('the report of what is compiled', () => {
  it('counts nodes, bytes and calls', async () => {
    const compiled = await (
      await onnxRuntimeEngine({ threads: 1 })
    ).compile(({ x, w, n }) => ({ y: tf.sqrt(tf.sqrt(tf.mul(x as tf.Tensor, w as tf.Tensor))), n: tf.add(n as tf.Tensor, 1) }), {
      inputs: { x: { shape: [2], dtype: 'float32' } },
      constants: { w: vector(2, 3) },
      carried: { n: vector(0, 0, 0) },
    });
    expect(compiled.report()).toMatchObject({
      operators: { Mul: 1, Sqrt: 2, Add: 1 },
      carriedBytes: 12,
      calls: 0,
      medianCallTime: undefined,
    });
    for (let i = 0; i < 3; i++) await compiled.run({ x: vector(1, 4) });
    const { calls, medianCallTime, constantBytes, traceTime, sessionTime } = compiled.report();
    expect(calls).toBe(3);
    // w and the number 1
    expect(constantBytes).toBe(12);
    for (const time of [medianCallTime, traceTime, sessionTime]) expect(time).toBeGreaterThan(0);
    await compiled.dispose();
  });
});

describe('a profiled engine', () => {
  it('writes what every node of every call took when the function is disposed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'coda-profile-test-'));
    try {
      const engine = await onnxRuntimeEngine({ threads: 1, profile: join(folder, 'trace') });
      const compiled = await engine.compile(({ x }) => ({ y: tf.sqrt(x as tf.Tensor) }), {
        inputs: { x: { shape: [2], dtype: 'float32' } },
      });
      for (let i = 0; i < 3; i++) await compiled.run({ x: vector(1, 4) });
      await compiled.dispose();
      const files = await readdir(folder);
      expect(files).toEqual([expect.stringMatching(/^trace_.*\.json$/)]);
      const events = JSON.parse(await readFile(join(folder, files[0] as string), 'utf8')) as { cat: string; args: { op_name?: string } }[];
      expect(events.filter(({ cat, args }) => cat === 'Node' && args.op_name === 'Sqrt').length).toBe(3);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('resolveEngine', () => {
  it('takes ONNX Runtime where it is, and says why', async () => {
    const { engine, reason } = await resolveEngine();
    expect(engine.name).toBe('onnxruntime');
    expect(reason).toBe('the fastest there is');
  });

  it('opens the one that is asked for', async () => {
    expect((await resolveEngine('cpu')).engine.description).toContain('plain JavaScript');
    const wasm = await (
      await resolveEngine('wasm')
    ).engine.compile(({ x }) => ({ y: tf.square(x as tf.Tensor) }), { inputs: { x: { shape: [2], dtype: 'float32' } } });
    expect([...((await wasm.run({ x: vector(2, 3) }))['y']?.data as Float32Array)]).toEqual([4, 9]);
    await wasm.dispose();
    expect(tf.getBackend()).toBe('cpu');
  });

  it.each<[number | [number, number], number, number | 'valid' | 'same']>([
    [3, 2, 1],
    [2, 2, 'valid'],
    [[3, 2], 1, 'same'],
    [2, 3, 'valid'],
  ])(
    'gives the gradient of a max pool (window %j, stride %j, padding %j) on wasm to the first of equal elements',
    async (size, stride, pad) => {
      const random = Random.seeded(1);
      const x = ndArray(
        'float32',
        [2, 7, 8, 3],
        Float32Array.from({ length: 336 }, () => random.below(2)),
      );
      const gradientOn = async (name: string): Promise<readonly number[]> => {
        const { engine } = await resolveEngine(name);
        const compiled = await engine.compile(
          (tensors) => {
            const y = (image: tf.Tensor): tf.Tensor => tf.maxPool(image as tf.Tensor4D, size, stride, pad);
            // another gradient for each window
            const dy = tf.reshape(tf.range(1, y(tensors['x'] as tf.Tensor).size + 1), y(tensors['x'] as tf.Tensor).shape);
            return { dx: tf.grad(y)(tensors['x'] as tf.Tensor, dy) };
          },
          { inputs: { x: { shape: x.shape, dtype: 'float32' } } },
        );
        const { dx } = await compiled.run({ x });
        await compiled.dispose();
        return [...(dx?.data as Float32Array)];
      };
      const expected = await gradientOn('cpu');
      expect(await gradientOn('wasm')).toEqual(expected);
      expect(await gradientOn('onnxruntime')).toEqual(expected);
    },
  );

  it('answers a wrong name with the nearest right one', async () => {
    await expect(resolveEngine('onxruntime')).rejects.toThrow(
      'engine: no engine of that name; expected onnxruntime, tensorflow, wasm, cpu, webgpu, tfjs-webgpu, got onxruntime. Did you mean onnxruntime?',
    );
    const error = await resolveEngine('tensorflow').catch((e: unknown) => e);
    // not installed here, or there
    expect(CodaError.isInstance(error) ? error.kind : 'available').toMatch(/^(un)?available$/);
  });

  it('lists every engine with a device or a reason', async () => {
    const statuses = await listEngines();
    expect(statuses.map(({ name }) => name)).toEqual(engineNames);
    for (const { description } of statuses) expect(description.length).toBeGreaterThan(10);
  });
});
