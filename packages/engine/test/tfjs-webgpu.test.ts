/**
 * TensorFlow.js' own WebGPU backend in Node, on whatever adapter there is, a software one included; skipped, visibly, without any. What networks need of it is in
 * apps/coda/test/eager-webgpu.test.ts; here are its start and its errors, and with CODA_TEST_ENGINE=tfjs-webgpu every operation of the conformance suite.
 */
import { CodaError, ndArray } from '@coda-nets/core';
import { startTfjsWebGpu, tfjsWebGpuEngine } from '@coda-nets/engine';
import { expectClose, expectNoLeak, fromSource, nameSoftwareGpu, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { importOptional } from '../src/tfjs-webgpu/dawn.ts';
import { casesOf, type Operation } from './conformance/operation.ts';
import { operations } from './conformance/operations.ts';
import { runCases } from './conformance/run-cases.ts';

/** Compiling a shader in software takes seconds on a busy machine. */
const TIMEOUT = 240_000;
/** Products of a few numbers in another order. */
const TOLERANCE = { rtol: 1e-5, atol: 1e-6 };

/** What the backend does otherwise than plain JavaScript does, as docs/webgpu.md lists it. Not ours to mend, and nothing that our networks call. */
const knownToDiffer: Readonly<Record<string, string>> = {
  acos: 'WebGPU promises of angles 11 bits',
  cos: 'WebGPU promises of angles 11 bits',
  sin: 'WebGPU promises of angles 11 bits',
  tan: 'WebGPU promises of angles 11 bits',
  'mod of whole numbers': 'computed in floats',
  prod: 'without the axes that keepDims keeps',
  'prod of whole numbers': 'without the axes that keepDims keeps',
  denseBincount: 'refused: its shader does not compile',
  'fill, range, linspace': 'NaN for a linspace of one number',
  unsortedSegmentSum: 'counts what the id −1 leaves out',
  resizeBilinear: 'the gradient of one row or column with alignCorners',
};

nameSoftwareGpu();
const opened = await tfjsWebGpuEngine().catch((error: unknown) => {
  if (CodaError.isInstance(error) && error.kind === 'unavailable') return error;
  throw error;
});
const why = CodaError.isInstance(opened) ? ` (SKIPPED: ${opened.problem})` : '';
const here = why === '';

beforeAll(() => useBackend('cpu'));

describe.skipIf(!here)(`TensorFlow.js on WebGPU${why}`, { timeout: TIMEOUT }, () => {
  afterEach(async () => {
    tf.env().set('WEBGPU_CPU_FORWARD', true);
    await tf.setBackend('cpu');
  });

  it('tells its GPU, and leaves the chosen backend as it is', async () => {
    const { description, readsBetweenKernels } = await tfjsWebGpuEngine();
    expect(readsBetweenKernels).toBe(false);
    expect(description).toMatch(/^TensorFlow\.js \d+\.\d+\.\d+, WebGPU, .+$/);
    expect(tf.getBackend()).toBe('cpu');
  });

  it('is one for programs of TensorFlow.js as they are', async () => {
    await startTfjsWebGpu();
    await tf.setBackend('webgpu');
    await expectNoLeak(async () => {
      const y = tf.tidy(() => tf.matMul(tf.ones([40, 50]), tf.fill([50, 30], 0.5)));
      expect(new Set(await y.data())).toEqual(new Set([25]));
      y.dispose();
    });
  });

  it('sums more terms than a shader takes', async () => {
    tf.env().set('WEBGPU_CPU_FORWARD', false);
    await tf.setBackend('webgpu');
    const terms = Array.from({ length: 23 }, (_, i) => randomValues(6, i));
    await expectNoLeak(async () => {
      const tensors = terms.map((term) => tf.tensor1d(term));
      const sum = tf.addN(tensors);
      const expected = Float32Array.from({ length: 6 }, (_, i) => terms.reduce((total, term) => total + (term[i] as number), 0));
      expectClose(await sum.data(), expected, TOLERANCE);
      tf.dispose([sum, ...tensors]);
    });
  });

  it.each<['int32' | 'bool', number[], number[]]>([
    ['int32', [37, 5], [1, 0]],
    ['int32', [3, 4, 5], [2, 0, 1]],
    ['int32', [2, 3, 2, 3], [3, 1, 2, 0]],
    ['bool', [37, 5], [1, 0]],
    ['bool', [3, 4, 5], [0, 2, 1]],
  ])('transposes %s %j as they are', async (dtype, shape, perm) => {
    tf.env().set('WEBGPU_CPU_FORWARD', false);
    const size = shape.reduce((product, d) => product * d);
    // beyond 2²⁴ floats have no odd numbers
    const numbers = Int32Array.from({ length: size }, (_, i) =>
      dtype === 'bool' ? Number(i % 3 === 0) : (-1) ** i * (2 ** 31 - 1 - 7 * i),
    );
    const expected = tf.tidy(() => tf.transpose(tf.tensor(numbers, shape, dtype), perm).dataSync());
    await tf.setBackend('webgpu');
    await expectNoLeak(async () => {
      const y = tf.tidy(() => tf.transpose(tf.tensor(numbers, shape, dtype), perm));
      expect(Int32Array.from(await y.data())).toEqual(Int32Array.from(expected));
      y.dispose();
    });
  });

  it('finds the largest whole number along an axis that is not the last', async () => {
    tf.env().set('WEBGPU_CPU_FORWARD', false);
    await tf.setBackend('webgpu');
    await expectNoLeak(async () => {
      const at = tf.tidy(() => tf.argMax(tf.tensor3d([1, 5, 3, 4, 2, 6, 0, 7], [2, 2, 2], 'int32'), 1));
      expect(await at.array()).toEqual([
        [1, 0],
        [0, 1],
      ]);
      at.dispose();
    });
  });

  it('says that nothing can be read without waiting', async () => {
    await tf.setBackend('webgpu');
    const y = tf.relu(tf.fill([64, 64], -1));
    expect(() => y.dataSync()).toThrow(
      'dataSync: what is on a GPU cannot be read without waiting in Node. Take `await tensor.data()` or `await tensor.array()`.',
    );
    y.dispose();
  });

  it('says what the GPU refused, once, and goes on', async () => {
    const [shape, size] = [[16, 16, 8], 2048];
    // a shader that is no shader
    const program = {
      variableNames: ['A'],
      outputShape: shape,
      workgroupSize: [64, 1, 1],
      dispatchLayout: { x: [0, 1, 2] },
      dispatch: [size / 64, 1, 1],
      shaderKey: 'none',
      getUserCode: () => 'none',
    };
    const broken = await (
      await tfjsWebGpuEngine()
    ).compile(
      ({ x }) => {
        const backend = tf.backend() as tf.KernelBackend & { runWebGPUProgram(...call: unknown[]): tf.TensorInfo };
        return { y: tf.engine().makeTensorFromTensorInfo(backend.runWebGPUProgram(program, [x], 'float32')) };
      },
      { inputs: { x: { shape, dtype: 'float32' } } },
    );
    await expect(broken.run({ x: ndArray('float32', shape, new Float32Array(size)) })).rejects.toThrow(
      /^engine tfjs-webgpu: the GPU refused a call, its results are void: Error while parsing WGSL/,
    );
    await broken.dispose();
    const twice = await (
      await tfjsWebGpuEngine()
    ).compile(({ x }) => ({ y: tf.mul(x as tf.Tensor, 2) }), { inputs: { x: { shape, dtype: 'float32' } } });
    const { y } = await twice.run({ x: ndArray('float32', shape, new Float32Array(size).fill(3)) });
    expect(new Set(y?.data as Float32Array)).toEqual(new Set([6]));
    await twice.dispose();
  });

  it('is asked for a GPU by a part of its name, before it is started', async () => {
    await expect(tfjsWebGpuEngine({ adapter: 'Voodoo' })).rejects.toThrow(
      'engine tfjs-webgpu: adapter: a process has one GPU for TensorFlow.js, and it is chosen already; expected ',
    );
  });

  it('says that the GPU was lost, and takes it up again', async () => {
    const engine = await tfjsWebGpuEngine();
    const signature = { inputs: { x: { shape: [64, 64], dtype: 'float32' as const } } };
    const input = { x: ndArray('float32', [64, 64], new Float32Array(4096).fill(1)) };
    const squared = await engine.compile(({ x }) => ({ y: tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D) }), signature);
    await squared.run(input);
    (tf.findBackend('webgpu') as unknown as { device: { destroy(): void } }).device.destroy();
    await expect(squared.run(input)).rejects.toThrow(/^engine tfjs-webgpu: the GPU was lost, and with it every tensor there \(destroyed/);
    const again = await (await tfjsWebGpuEngine()).compile(({ x }) => ({ y: tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D) }), signature);
    expect((await again.run(input))['y']?.data[0]).toBe(64);
    await again.dispose();
  });
});

describe('without what it needs', () => {
  it('names a package that is not installed, and how to install it', async () => {
    const name = 'webgpu-of-nobody';
    await expect(importOptional(name, () => import(name))).rejects.toThrow(
      `engine tfjs-webgpu: the package ${name} is not installed. \`npm install @tensorflow/tfjs-backend-webgpu webgpu\` brings what it needs.`,
    );
    await expect(importOptional('webgpu', () => Promise.reject(new Error('GLIBC_2.34 not found')))).rejects.toThrow(
      'engine tfjs-webgpu: the package webgpu does not load: GLIBC_2.34 not found. It runs on',
    );
  });

  it.skipIf(process.platform !== 'linux')(
    'says so where there is no package, no driver, or no GPU of a name: an error, not the end of the process',
    () => {
      const program = fileURLToPath(new URL('open-tfjs-webgpu.ts', import.meta.url));
      const told = (driver: string | undefined, adapter: string): string => {
        const env = { ...process.env, ...(driver !== undefined && { VK_DRIVER_FILES: driver }) };
        const { status, stdout } = spawnSync(process.execPath, [...fromSource, program, adapter], { encoding: 'utf8', env });
        expect(status).toBe(0);
        return stdout;
      };
      if (why.includes('the package webgpu is not installed')) {
        expect(told(undefined, '')).toMatch(
          /^unavailable: engine tfjs-webgpu: the package webgpu is not installed\. `npm install .+ webgpu`/,
        );
        return;
      }
      expect(told('/of/nobody.json', '')).toMatch(/^unavailable: engine tfjs-webgpu: no GPU that WebGPU can use: /);
      if (here) {
        expect(told(undefined, 'Voodoo')).toMatch(
          /^unavailable: engine tfjs-webgpu: adapter: no GPU of that name; expected part of one of: .+, got Voodoo/,
        );
      }
    },
  );
});

const everything = process.env['CODA_TEST_ENGINE'] === 'tfjs-webgpu';

describe.skipIf(!here || !everything)(
  `every operation on WebGPU${everything ? why : ' (SKIPPED: CODA_TEST_ENGINE=tfjs-webgpu runs it)'}`,
  () => {
    beforeAll(() => {
      // small tensors too, which the backend gives to the processor otherwise
      tf.env().set('WEBGPU_CPU_FORWARD', false);
      // its search for leaks counts what a gradient saves of a result that lies elsewhere
      tf.env().set('IS_TEST', false);
    });

    for (const one of operations as readonly Operation[]) {
      const differs = knownToDiffer[one.name];
      it.skipIf(differs !== undefined)(
        `${one.name}${differs === undefined ? '' : ` (SKIPPED: ${differs})`}`,
        { timeout: TIMEOUT },
        async () => {
          const cases = fc.sample(casesOf(one), { seed: 13, numRuns: 2 });
          await expect(runCases(cases, await tfjsWebGpuEngine())).resolves.toBeUndefined();
        },
      );
    }
  },
);
