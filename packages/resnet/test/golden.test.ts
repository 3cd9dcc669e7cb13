import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { sizeOf, type ForwardContext } from '@coda-nets/core';
import { expectClose, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { resnet, type ResnetOptions } from '../src/index.ts';
import { expectDigest, goldenTolerance, goldenWeight, type Digest } from './golden-values.ts';

interface Results {
  readonly taps: Readonly<Record<string, Digest>>;
  readonly logits: readonly (readonly number[])[];
  readonly loss: number;
  readonly gradients: Readonly<Record<string, Digest>>;
}
interface Golden extends Omit<ResnetOptions, 'kind'> {
  readonly name: string;
  readonly size: readonly [number, number];
  readonly batch: number;
  readonly classes: number;
  readonly parameters: number;
  readonly inference: Results;
  readonly training: Results;
  readonly statistics: Readonly<Record<string, Digest>>;
}

const read = (name: string): string => readFileSync(new URL(`goldens/${name}`, import.meta.url), 'utf8');
const manifest = JSON.parse(read('resnet.manifest.json')) as { seed: number; sha256: Readonly<Record<string, string>> };
const cifar = JSON.parse(read('resnet.json')) as Golden[];
const imagenet = (JSON.parse(read('imagenet-tiny.json')) as Golden[]).map((golden) => ({ ...golden, design: 'imagenet' as const }));
const cases: readonly (readonly [string, Golden])[] = [...cifar, ...imagenet].map((golden) => [golden.name, golden]);

beforeAll(() => useBackend('cpu'));

it.each(Object.entries(manifest.sha256))('%s is the manifest’s', (name, sha256) => {
  const bytes = readFileSync(new URL(`goldens/${name}`, import.meta.url));
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
});

describe.each(cases)('%s against PyTorch', (_, golden) => {
  const {
    name: _name,
    size,
    batch,
    parameters: count,
    inference,
    training: _training,
    statistics: expectedStatistics,
    ...options
  } = golden;
  const network = resnet({ kind: 'resnet', ...options });
  const parameters = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');

  it('has the same weights', () => {
    expect(parameters).toEqual(Object.keys(inference.gradients));
    expect(parameters.reduce((sum, name) => sum + sizeOf(network.weights[name]?.shape ?? []), 0)).toBe(count);
    for (const name of parameters) expect(network.weights[name]?.shape, name).toEqual(inference.gradients[name]?.shape);
  });

  it.each(['inference', 'training'] as const)(
    'gives the same taps, logits, loss and gradients in %s',
    (mode) => {
      tf.tidy(() => {
        const expected = golden[mode];
        const weights = Object.fromEntries(
          Object.entries(network.weights).map(([name, spec], i) => [
            name,
            tf.tensor(goldenWeight(name, spec, manifest.seed + i), [...spec.shape]),
          ]),
        );
        const images = randomTensor<tf.Rank.R4>([batch, ...size, 3], manifest.seed - 1, { min: 0 });
        const labels = Array.from({ length: batch }, (_l, i) => (3 * i + 1) % golden.classes);
        const targets = tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), golden.classes), 'float32') as tf.Tensor2D;
        const reached: string[] = [];
        const context: ForwardContext = {
          training: mode === 'training',
          tap: (name, x) => {
            reached.push(name);
            if (name === 'input') expect(x).toBe(images);
            else expectDigest(x, expected.taps[name], name);
            if (name === network.taps.at(-1)?.name && 'pooled' in expected.taps) {
              expectDigest(tf.mean(x, [1, 2]), expected.taps['pooled'], 'pooled');
            }
            return x;
          },
        };
        const { value, grads } = tf.valueAndGrads((...values) => {
          const given = Object.fromEntries(parameters.map((name, i) => [name, values[i] as tf.Tensor]));
          const { logits, statistics } = network.forward({ ...weights, ...given }, images, context);
          expectClose(logits, expected.logits, goldenTolerance);
          expect(Object.keys(statistics).sort()).toEqual(mode === 'training' ? Object.keys(expectedStatistics).sort() : []);
          for (const [name, x] of Object.entries(statistics)) expectDigest(x, expectedStatistics[name], name);
          return network.loss(logits, targets);
        })(parameters.map((name) => weights[name] as tf.Tensor));
        expectClose(value, expected.loss, goldenTolerance);
        for (const [i, name] of parameters.entries()) expectDigest(grads[i] as tf.Tensor, expected.gradients[name], name);
        expect(reached).toEqual(network.taps.map(({ name }) => name));
      });
    },
    60_000,
  );
});
