/**
 * What these packages need of TensorFlow.js, run call by call on a GPU: units in both forms, ResNets, hybrids and contributions, equal to plain JavaScript.
 * On whatever adapter there is, a software one included; skipped, visibly, without any.
 */
import {
  CodaError,
  initWeights,
  ndArray,
  Random,
  withDynamicWeightsHeld,
  type Engine,
  type NamedArrays,
  type NdArray,
  type Network,
  type TensorFunction,
} from '@coda-nets/core';
import { codaNetwork, dauConv, dauMap, type DauConvOptions, type DauWeights } from '@coda-nets/dau';
import { explainer, type Explanation, type TapExplanation } from '@coda-nets/depth';
import { resolveEngine } from '@coda-nets/engine';
import { hybrid } from '@coda-nets/hybrid';
import { resnet } from '@coda-nets/resnet';
import { expectClose, expectNoLeak, nameSoftwareGpu, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

/** Sums of a few hundred float32 products in a GPU's order, through norms and back. */
const UNITS = { rtol: 2e-5, atol: 1e-6, relativeTo: 'largest' } as const;
/** The same through the layers of a network. */
const NETWORKS = { rtol: 1e-4, atol: 1e-6, relativeTo: 'largest' } as const;
/** What the project promises in float32, relative to the size of what is summed. */
const COMPLETENESS = 1e-5;
/** Compiling a shader in software takes seconds on a busy machine. */
const TIMEOUT = 300_000;

nameSoftwareGpu();
await useBackend('cpu');
const opened = await resolveEngine('tfjs-webgpu').catch((error: unknown) => {
  if (CodaError.isInstance(error) && error.kind === 'unavailable') return error;
  throw error;
});
const here = !CodaError.isInstance(opened);
const why = CodaError.isInstance(opened) ? ` (SKIPPED: ${opened.problem})` : '';
let gpu: Engine;
let cpu: Engine;

beforeAll(async () => {
  if (!CodaError.isInstance(opened)) gpu = opened.engine;
  cpu = (await resolveEngine('cpu')).engine;
  // small tensors too, which the backend would give to the processor
  tf.env().set('WEBGPU_CPU_FORWARD', false);
});

const array = (shape: readonly number[], seed: number, min = -1): NdArray<'float32'> => {
  const size = shape.reduce((a, b) => a * b, 1);
  return ndArray('float32', shape, randomValues(size, seed, { min }));
};

/** One call of a function on both. */
async function onBoth(fn: TensorFunction, inputs: NamedArrays): Promise<readonly [NamedArrays, NamedArrays]> {
  const specs = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, { shape, dtype: 'float32' } as const]));
  const call = async (engine: Engine): Promise<NamedArrays> => {
    const compiled = await engine.compile(fn, { inputs: specs });
    const results = await compiled.run(inputs);
    await compiled.dispose();
    return results;
  };
  return [await call(gpu), await call(cpu)];
}

/** Output, gradients by everything, gradient under held weights, and the linear map at the input. */
function allOfAUnit(options: DauConvOptions): TensorFunction {
  const names = ['x', 'A', 'B', 'b'] as const;
  const unit = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Tensor4D =>
    dauConv(x as tf.Tensor4D, { A, B, b } as DauWeights, options);
  return (t) => {
    const given = names.map((name) => t[name]) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const [x, A, B, b] = given;
    const gradients = tf.grads(((...args: typeof given) => tf.sum(tf.square(unit(...args)))) as never)(given);
    return {
      y: unit(...given),
      map: dauMap(x as tf.Tensor4D, x as tf.Tensor4D, { A, B, b } as DauWeights, options),
      held: withDynamicWeightsHeld(() => tf.grad((x: tf.Tensor) => tf.sum(unit(x, A, B, b)))(x)),
      ...Object.fromEntries(names.map((name, i) => [`d/d${name}`, gradients[i] as tf.Tensor])),
    };
  };
}

const side = 8;
const head = { temperature: 4, layers: [{ out: 4, kernel: 3, rank: 3 }] };
const backbone = { kind: 'resnet', depth: 8, width: 4, inputShape: [side, side, 3] } as const;
const networks: readonly (readonly [string, Network])[] = [
  [
    'a CoDA network',
    codaNetwork({
      kind: 'coda',
      inputShape: [side, side, 3],
      layers: [{ out: 6, kernel: 3, rank: 3 }, ...head.layers],
      temperature: 4,
      classes: 4,
    }),
  ],
  ['a ResNet', resnet({ ...backbone, classes: 4 })],
  ['a hybrid', hybrid({ kind: 'hybrid', backbone, cut: 'layer2.0', classes: 4, head })],
  [
    'a hybrid behind max pooling',
    hybrid({
      kind: 'hybrid',
      backbone: { kind: 'resnet', design: 'imagenet', depth: 18, width: 4, inputShape: [17, 19, 3] },
      cut: 'layer1.0',
      classes: 4,
      head,
    }),
  ],
];

describe.skipIf(!here)(`on a GPU, call by call${why}`, { timeout: TIMEOUT }, () => {
  it.each([
    ['low-rank', 'sq'],
    ['low-rank', 'l2'],
    ['explicit', 'sq'],
    ['explicit', 'l2'],
  ] as const)('units in the %s form, %s: output, gradients, held gradient, linear map', async (form, norm) => {
    const fn = allOfAUnit({ stride: 2, padding: 1, norm, form });
    const inputs = { x: array([3, 7, 6, 2], 1), A: array([3, 3, 2, 4, 3], 2), B: array([3, 3, 2, 3], 3), b: array([3, 3, 2, 4], 4) };
    const [got, expected] = await onBoth(fn, inputs);
    expect(Object.keys(got)).toEqual(Object.keys(expected));
    for (const [name, { data }] of Object.entries(expected)) expectClose(got[name]?.data as Float32Array, data as Float32Array, UNITS);
  });

  it.each(networks)('%s: logits and contributions at every tap, without a tensor left behind', async (_, network) => {
    const images = array([2, ...network.inputShape], 5, 0);
    const weights = initWeights(network, Random.seeded(1));
    const explain = async (engine: Engine): Promise<readonly Explanation[]> => {
      const one = await explainer({ engine, network, weights });
      const explanations = await one.explain(images, [1, 3]);
      await one.dispose();
      return explanations;
    };
    const expected = await explain(cpu);
    let got: readonly Explanation[] = [];
    await expectNoLeak(async () => {
      got = await explain(gpu);
    });
    for (const [i, { logits, taps }] of expected.entries()) {
      expectClose(got[i]?.logits.data as Float32Array, logits.data, NETWORKS);
      for (const [at, { map, exact }] of taps.entries()) {
        const tap = got[i]?.taps[at] as TapExplanation;
        expectClose(tap.map.data, map.data, NETWORKS);
        const size = map.data.reduce((total, s) => total + Math.abs(s), 0);
        if (exact) expect(Math.abs(tap.sum - tap.expected)).toBeLessThan(COMPLETENESS * size);
      }
    }
  });
});
