/** Dynamic Alignment Units of every norm as compiled graphs: equal to eager TensorFlow.js, and trained by a compiled step. */
import { initWeights, ndArray, Random, withDynamicWeightsHeld, type ArraySpec, type NamedTensors, type NdArray } from '@coda-nets/core';
import {
  codaNetwork,
  codaNorms,
  codaPresets,
  dauConv,
  dauDense,
  edauConv,
  edauDense,
  type CodaConfig,
  type CodaNorm,
} from '@coda-nets/dau';
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import { initialSlots, optimiser, trainingStep } from '@coda-nets/train';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

/** Sums of a few hundred float32 products in another order, through norms and back. */
const tolerance = { rtol: 2e-5, atol: 1e-6, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

const array = (shape: readonly number[], seed: number): NdArray<'float32'> =>
  ndArray(
    'float32',
    shape,
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  );

/** One unit of a norm, over maps or vectors. */
function unit(norm: CodaNorm, x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const isDau = norm === 'sq' || norm === 'l2';
  if (x.rank === 2) {
    return isDau ? dauDense(x as tf.Tensor2D, { A, B, b }, { norm }) : edauDense(x as tf.Tensor2D, { A, B }, { bound: norm });
  }
  const options = { stride: 2, padding: 1 };
  const map = x as tf.Tensor4D;
  return isDau ? dauConv(map, { A, B, b }, { ...options, norm }) : edauConv(map, { A, B }, { ...options, bound: norm });
}

/** Output, gradients by everything, and gradient under held weights. */
function valuesAndGradients(norm: CodaNorm) {
  return (t: NamedTensors): NamedTensors => {
    const [x, A, B, b] = ['x', 'A', 'B', 'b'].map((name) => t[name]) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const names = norm === 'sq' || norm === 'l2' ? ['x', 'A', 'B', 'b'] : ['x', 'A', 'B'];
    const objective = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, given: tf.Tensor = b): tf.Tensor =>
      tf.sum(tf.square(unit(norm, x, A, B, given)));
    const grads = tf.grads(objective as never)(names.map((name) => t[name] as tf.Tensor));
    const held = withDynamicWeightsHeld(() => tf.grad((given: tf.Tensor) => tf.sum(unit(norm, given, A, B, b)))(x));
    return {
      y: unit(norm, x, A, B, b),
      held,
      ...Object.fromEntries(names.map((name, i) => [`d/d${name}`, grads[i] as tf.Tensor])),
    };
  };
}

/** [x, A, B, b]; the second has so many outputs that it is recorded as a product, the third is dense. */
const shapes = {
  'few outputs': [
    [3, 7, 6, 2],
    [3, 3, 2, 4, 3],
    [3, 3, 2, 3],
    [3, 3, 2, 4],
  ],
  'many outputs': [
    [3, 5, 5, 2],
    [3, 3, 2, 16, 16],
    [3, 3, 2, 16],
    [3, 3, 2, 16],
  ],
  dense: [
    [3, 8],
    [8, 4, 3],
    [8, 3],
    [8, 4],
  ],
} as const;

describe.each(codaNorms)('the compiled unit (%s)', (norm) => {
  it.each(Object.entries(shapes))('equals eager tfjs, gradients and held gradients included (%s)', async (_, sizes) => {
    const inputs = Object.fromEntries(['x', 'A', 'B', 'b'].map((name, i) => [name, array(sizes[i] as readonly number[], i + 1)]));
    const specs = Object.fromEntries(
      Object.entries(inputs).map(([name, { shape }]): [string, ArraySpec] => [name, { shape, dtype: 'float32' }]),
    );
    const [eager, compiled] = await Promise.all(
      [eagerEngine({ name: 'cpu', backend: 'cpu', description: '' }), await onnxRuntimeEngine({ threads: 1 })].map((engine) =>
        engine.compile(valuesAndGradients(norm), { inputs: specs }),
      ),
    );
    const expected = await eager?.run(inputs);
    const actual = await compiled?.run(inputs);
    expect(Object.keys(actual ?? {}).sort()).toEqual(Object.keys(expected ?? {}).sort());
    for (const [name, { data, shape }] of Object.entries(expected ?? {})) {
      expect(actual?.[name]?.shape).toEqual(shape);
      expectClose(actual?.[name]?.data as Float32Array, data as Float32Array, tolerance);
    }
    await Promise.all([eager?.dispose(), compiled?.dispose()]);
  });

  it('takes any batch size once it is compiled', async () => {
    const [x, A, B, b] = shapes['few outputs'].map((shape, i) => array(shape, i + 1)) as [NdArray, NdArray, NdArray, NdArray];
    const fn = (t: NamedTensors): NamedTensors => ({
      y: unit(norm, t['x'] as tf.Tensor, t['A'] as tf.Tensor, t['B'] as tf.Tensor, t['b'] as tf.Tensor),
    });
    const engine = await onnxRuntimeEngine({ threads: 1 });
    const compiled = await engine.compile(fn, {
      inputs: { x: { shape: ['batch', 7, 6, 2], dtype: 'float32' } },
      constants: { A, B, b },
    });
    const all = (await compiled.run({ x }))['y'] as NdArray<'float32'>;
    const one = (await compiled.run({ x: ndArray('float32', [1, 7, 6, 2], x.data.slice(0, 84) as Float32Array) }))[
      'y'
    ] as NdArray<'float32'>;
    expect(one.shape).toEqual([1, ...all.shape.slice(1)]);
    expectClose(one.data, all.data.slice(0, one.data.length), tolerance);
    await compiled.dispose();
  });

  it('learns: a compiled step lowers the loss of a small S-CoDA to less than half', async () => {
    // The nine layers of S-CoDA, thinner. Bright above is one class, bright below the other.
    const layers = codaPresets['s-cifar10'].layers.map((layer) => ({
      ...layer,
      out: layer.out === 10 ? 2 : 4,
      rank: 3,
    }));
    const network = codaNetwork({
      kind: 'coda',
      inputShape: [16, 16, 3],
      layers,
      norm,
      temperature: 2,
      classes: 2,
    } satisfies CodaConfig);
    const adam = optimiser({ kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 'coupled' });
    const step = trainingStep({ network, optimiser: adam, batchSize: 8 });
    const engine = await onnxRuntimeEngine({ threads: 1 });
    const weights = initWeights(network, Random.seeded(3));
    const compiled = await engine.compile(step.fn, step.signature(weights, initialSlots(adam, network.weights)));
    const random = Random.seeded(5);
    const losses: number[] = [];
    for (let i = 1; i <= 60; i++) {
      const labels = Int32Array.from({ length: 8 }, () => random.below(2));
      // Row y of an image: bright noise in the half that its label names, dark noise in the other.
      const images = Float32Array.from({ length: 8 * 16 * 16 * 3 }, (_, at) => {
        const [image, y] = [Math.floor(at / 768), Math.floor(at / 48) % 16];
        return (Math.floor(y / 8) === labels[image] ? 0.6 : 0) + 0.4 * random.uniform();
      });
      const result = await compiled.run({
        images: ndArray('float32', [8, 16, 16, 3], images),
        labels: ndArray('int32', [8], labels),
        ...step.scalars({ learningRate: 1e-2, step: i }),
      });
      losses.push(result['loss']?.data[0] as number);
    }
    await compiled.dispose();
    const mean = (part: readonly number[]): number => part.reduce((a, b) => a + b, 0) / part.length;
    expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 2)) / 2);
  });
});
