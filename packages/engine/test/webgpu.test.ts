/**
 * The WebGPU engine on whatever adapter there is, a software one included: Debian's Chromium brings SwiftShader along. Skipped, visibly, without any.
 */
import { CodaError, ndArray, Random, type Engine, type Signature, type TensorFunction } from '@coda-nets/core';
import { onnxRuntimeEngine, webGpuEngine } from '@coda-nets/engine';
import { expectClose, nameSoftwareGpu, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectCompiledEqualsEager, type Case } from './equals-eager.ts';

/** Sums in the order of a GPU's work groups. */
const TOLERANCE = { rtol: 3e-5, atol: 1e-6, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

nameSoftwareGpu();
const opened = await webGpuEngine().catch((error: unknown) => {
  if (CodaError.isInstance(error) && error.kind === 'unavailable') return error;
  throw error;
});
const engine = opened as Engine;
const here = !CodaError.isInstance(opened);

const as4d = (t: tf.Tensor | undefined): tf.Tensor4D => t as tf.Tensor4D;
const cases: Readonly<Record<string, Case>> = {
  'a product': { fn: (t) => tf.matMul(t['a'] as tf.Tensor2D, t['b'] as tf.Tensor2D), shapes: { a: [5, 7], b: [7, 3] } },
  'two convolutions': {
    fn: (t) => tf.conv2d(tf.relu(tf.conv2d(as4d(t['x']), as4d(t['w']), 1, 'same')), as4d(t['v']), 2, 'same'),
    shapes: { x: [2, 8, 7, 3], w: [3, 3, 3, 8], v: [3, 3, 8, 4] },
    from: -0.5,
    to: 0.5,
  },
  'statistics and softmax': {
    fn: (t) =>
      tf.softmax(
        tf.div(
          tf.sub(t['x'] as tf.Tensor, tf.mean(t['x'] as tf.Tensor, 1, true)),
          tf.sqrt(tf.add(tf.sum(tf.square(t['x'] as tf.Tensor)), 1)),
        ),
      ),
    shapes: { x: [4, 9] },
  },
  'slices, padding and concatenation': {
    fn: (t) =>
      tf.concat(
        [
          tf.slice(t['x'] as tf.Tensor2D, [0, 1], [3, 2]),
          tf.pad(t['x'] as tf.Tensor2D, [
            [0, 0],
            [1, 0],
          ]),
        ],
        1,
      ),
    shapes: { x: [3, 4] },
  },
};

/** A convolutional classifier and one step of gradient descent. */
const step: TensorFunction = ({ x, y, w, v }) => {
  const loss = (a: tf.Tensor, b: tf.Tensor): tf.Scalar => {
    const features = tf.mean(tf.relu(tf.conv2d(as4d(x), as4d(a), 1, 'same')), [1, 2]);
    return tf.neg(tf.mean(tf.sum(tf.mul(y as tf.Tensor, tf.logSoftmax(tf.matMul(features as tf.Tensor2D, b as tf.Tensor2D))), 1)));
  };
  const { value, grads } = tf.valueAndGrads((a: tf.Tensor, b: tf.Tensor) => loss(a, b))([w as tf.Tensor, v as tf.Tensor]);
  const moved = (p: tf.Tensor | undefined, g: tf.Tensor | undefined): tf.Tensor => tf.sub(p as tf.Tensor, tf.mul(g as tf.Tensor, 0.5));
  return { loss: value, w: moved(w, grads[0]), v: moved(v, grads[1]) };
};

describe('the WebGPU engine', () => {
  it.skipIf(!here).each(Object.entries(cases))('%s', (name, test) =>
    expectCompiledEqualsEager(name, test, { tolerance: TOLERANCE, engine }),
  );

  it.skipIf(!here)('trains as the CPU does: fifty steps, and the weights that stayed on the GPU', async () => {
    const random = Random.seeded(3);
    const filled = (...shape: number[]) =>
      ndArray(
        'float32',
        shape,
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uniform() - 0.5),
      );
    const signature: Signature = {
      inputs: { x: { shape: [8, 6, 6, 3], dtype: 'float32' }, y: { shape: [8, 4], dtype: 'float32' } },
      carried: { w: filled(3, 3, 3, 8), v: filled(8, 4) },
    };
    const inputs = {
      x: filled(8, 6, 6, 3),
      y: ndArray(
        'float32',
        [8, 4],
        Float32Array.from({ length: 32 }, (_, i) => (i % 9 === 0 ? 1 : 0)),
      ),
    };
    const [onGpu, onCpu] = await Promise.all([
      engine.compile(step, signature),
      (await onnxRuntimeEngine({ threads: 1 })).compile(step, signature),
    ]);
    const losses: [number, number][] = [];
    for (let i = 0; i < 50; i++) {
      const [a, b] = await Promise.all([onGpu.run(inputs), onCpu.run(inputs)]);
      losses.push([a['loss']?.data[0] as number, b['loss']?.data[0] as number]);
    }
    for (const [a, b] of losses) expect(Math.abs(a - b)).toBeLessThan(1e-3 * b);
    expect(losses.at(-1)?.[0]).toBeLessThan(0.97 * (losses[0]?.[0] as number));
    const [left, right] = await Promise.all([onGpu.carried(), onCpu.carried()]);
    for (const name of ['w', 'v']) {
      expectClose(left[name]?.data as Float32Array, right[name]?.data as Float32Array, { rtol: 1e-3, atol: 0, relativeTo: 'largest' });
    }
    await onGpu.dispose();
    await onCpu.dispose();
  });

  it.skipIf(!here)('lists what ran on the CPU', async () => {
    const listing = await webGpuEngine({ listFallbacks: true });
    const compiled = await listing.compile(({ x }) => ({ largest: tf.argMax(x as tf.Tensor2D, 1), root: tf.sqrt(x as tf.Tensor) }), {
      inputs: { x: { shape: [2, 3], dtype: 'float32' } },
    });
    expect(await compiled.fallbacks()).toBeUndefined();
    const { largest } = await compiled.run({ x: ndArray('float32', [2, 3], Float32Array.of(1, 3, 2, 6, 5, 4)) });
    expect(largest?.data).toEqual(Int32Array.of(1, 0));
    // indices are int64, which a GPU has not
    expect(await compiled.fallbacks()).toEqual({ Cast: 1 });
    await compiled.dispose();
  });

  it.skipIf(here)('says what is missing where there is no adapter', () => {
    expect((opened as CodaError).message).toContain('engine webgpu: no GPU that WebGPU can use');
    expect((opened as CodaError).message).toContain('Vulkan driver');
  });
});
