/**
 * ResNets in the compiled engine against PyTorch: every preset in full, at 224 × 224 and at odd sizes, and tiny ones of every architecture with their
 * gradients in both modes. The goldens are those of packages/resnet, where eager TensorFlow.js is held against the tiny ones.
 */
import { readFileSync } from 'node:fs';
import { inferenceContext, ndArray, recordTaps, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { trace } from '@coda-nets/onnx';
import { resnet, type ResnetOptions } from '@coda-nets/resnet';
import { randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectDigest, goldenWeight, type Digest } from '../../../packages/resnet/test/golden-values.ts';

interface Case extends Omit<ResnetOptions, 'kind' | 'design'> {
  readonly name: string;
  readonly size: readonly [number, number];
}
interface Full extends Case {
  readonly parameters: number;
  readonly taps: Readonly<Record<string, Digest>>;
  readonly logits: Digest;
}
interface Results {
  readonly taps: Readonly<Record<string, Digest>>;
  readonly gradients: Readonly<Record<string, Digest>>;
}
interface Tiny extends Case {
  readonly batch: number;
  readonly classes: number;
  readonly parameters: number;
  readonly inference: Results;
  readonly training: Results;
  readonly statistics: Readonly<Record<string, Digest>>;
}

const goldens = new URL('../../../packages/resnet/test/goldens/', import.meta.url);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, goldens), 'utf8'));
const { seed } = read('resnet.manifest.json') as { seed: number };
const named = <T extends Case>(cases: readonly T[]): readonly (readonly [string, T])[] => cases.map((golden) => [golden.name, golden]);
const full = named(read('imagenet-full.json') as Full[]);
const tiny = named(read('imagenet-tiny.json') as Tiny[]);

beforeAll(() => useBackend('cpu'));

function weightsOf(network: Network): NamedArrays {
  return Object.fromEntries(
    Object.entries(network.weights).map(([name, spec], i) => [name, ndArray('float32', spec.shape, goldenWeight(name, spec, seed + i))]),
  );
}

function imagesOf(batch: number, [height, width]: readonly [number, number]): NdArray<'float32'> {
  return ndArray('float32', [batch, height, width, 3], randomValues(batch * height * width * 3, seed - 1, { min: 0 }));
}

function expectArrays(arrays: NamedArrays, prefix: string, expected: Readonly<Record<string, Digest>>): void {
  for (const [name, digest] of Object.entries(expected)) {
    const { data, shape } = arrays[prefix + name] as NdArray<'float32'>;
    expectDigest({ shape: [...shape], dataSync: () => data as never }, digest, prefix + name);
  }
}

const prefixed = (prefix: string, tensors: Readonly<Record<string, tf.Tensor>>): Record<string, tf.Tensor> =>
  Object.fromEntries(Object.entries(tensors).map(([name, x]) => [prefix + name, x]));

describe.each(full)('%s, compiled', (_, golden) => {
  const { name: _name, size, parameters: _count, taps, logits: expected, ...options } = golden;

  it('gives PyTorch’s activations, pre-logits and logits', async () => {
    const network = resnet({ kind: 'resnet', design: 'imagenet', ...options });
    const engine = await onnxRuntimeEngine();
    const compiled = await engine.compile(
      ({ images, ...weights }) => {
        const { context, activations } = recordTaps(inferenceContext);
        const { logits } = network.forward(weights, images as tf.Tensor4D, context);
        const pooled = tf.mean(activations[network.taps.at(-1)?.name ?? ''] as tf.Tensor, [1, 2]);
        const { input: _input, ...rest } = activations;
        return { logits, ...prefixed('tap:', { ...rest, pooled }) };
      },
      { inputs: { images: { shape: [1, ...size, 3], dtype: 'float32' } }, constants: weightsOf(network) },
    );
    const result = await compiled.run({ images: imagesOf(1, size) });
    await compiled.dispose();
    expect(Object.keys(result).length).toBe(Object.keys(taps).length + 1);
    expectArrays(result, 'tap:', taps);
    expectArrays(result, '', { logits: expected });
  }, 60_000);
});

describe.each(tiny)('%s, compiled', (_, golden) => {
  const {
    name: _name,
    size,
    batch,
    parameters: _count,
    inference: _inference,
    training: _training,
    statistics: running,
    ...options
  } = golden;

  it.each(['inference', 'training'] as const)(
    'gives PyTorch’s activations, gradients and statistics in %s',
    async (mode) => {
      const network = resnet({ kind: 'resnet', design: 'imagenet', ...options });
      const parameters = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');
      const engine = await onnxRuntimeEngine();
      const compiled = await engine.compile(
        ({ images, targets, ...weights }) => {
          const { context, activations } = recordTaps({ ...inferenceContext, training: mode === 'training' });
          let found: Record<string, tf.Tensor> = {};
          const loss = (...values: tf.Tensor[]): tf.Scalar => {
            const given = Object.fromEntries(parameters.map((name, i) => [name, values[i] as tf.Tensor]));
            const { logits, statistics } = network.forward({ ...weights, ...given }, images as tf.Tensor4D, context);
            const { input: _input, ...rest } = activations;
            found = { ...prefixed('statistic:', statistics), ...prefixed('tap:', rest) };
            for (const x of Object.values(found)) tf.keep(x);
            return network.loss(logits, targets as tf.Tensor2D);
          };
          const { grads } = tf.valueAndGrads(loss)(parameters.map((name) => weights[name] as tf.Tensor));
          return { ...found, ...prefixed('gradient:', Object.fromEntries(parameters.map((name, i) => [name, grads[i] as tf.Tensor]))) };
        },
        {
          inputs: {
            images: { shape: [batch, ...size, 3], dtype: 'float32' },
            targets: { shape: [batch, golden.classes], dtype: 'float32' },
          },
          constants: weightsOf(network),
        },
      );
      const targets = new Float32Array(batch * golden.classes);
      for (let i = 0; i < batch; i++) targets[i * golden.classes + ((3 * i + 1) % golden.classes)] = 1;
      const result = await compiled.run({
        images: imagesOf(batch, size),
        targets: ndArray('float32', [batch, golden.classes], targets),
      });
      await compiled.dispose();
      const { pooled: _pooled, ...taps } = golden[mode].taps;
      expectArrays(result, 'tap:', taps);
      expectArrays(result, 'gradient:', golden[mode].gradients);
      if (mode === 'training') expectArrays(result, 'statistic:', running);
    },
    60_000,
  );
});

it('ResNeXt is one node a convolution, groups and all, forwards and for the gradient of an image', () => {
  const network = resnet({
    kind: 'resnet',
    design: 'imagenet',
    depth: 50,
    width: 8,
    groups: 4,
    widthPerGroup: 32,
    inputShape: [32, 32, 3],
    classes: 3,
  });
  const operators = (fn: (image: tf.Tensor4D, weights: Readonly<Record<string, tf.Tensor>>) => tf.Tensor): string[] =>
    trace(({ image, ...weights }) => ({ y: fn(image as tf.Tensor4D, weights) }), {
      inputs: { image: { shape: ['batch', 32, 32, 3], dtype: 'float32' } },
      constants: weightsOf(network),
    }).nodes.map(({ op }) => op);
  const logits = (image: tf.Tensor4D, weights: Readonly<Record<string, tf.Tensor>>) =>
    network.forward(weights, image, inferenceContext).logits;
  const count = (list: readonly string[], op: string): number => list.filter((other) => other === op).length;
  const forward = operators(logits);
  // 1 stem, 16 bottlenecks of 3, 4 projections
  expect([count(forward, 'Conv'), count(forward, 'Concat'), count(forward, 'Split'), count(forward, 'Slice')]).toEqual([53, 0, 0, 0]);
  const back = operators((image, weights) => tf.grad((x) => tf.sum(logits(x as tf.Tensor4D, weights)))(image));
  expect(count(back, 'ConvTranspose')).toBeGreaterThanOrEqual(16);
  expect(count(back, 'ConvTranspose')).toBeLessThan(60);
});
