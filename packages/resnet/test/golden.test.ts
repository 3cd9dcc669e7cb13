import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { sizeOf, type ForwardContext, type WeightSpec } from '@coda-nets/core';
import { expectClose, randomTensor, randomValues, useBackend } from '@coda-nets/tools/testkit';
import { resnet } from '../src/index.ts';

/** float32 against PyTorch's float64, through at most 20 layers; as the manifest says. */
const goldenTolerance = { rtol: 1e-4, relativeTo: 'largest' } as const;

interface Digest {
  readonly shape: readonly number[];
  readonly rms: number;
  readonly step: number;
  readonly values: readonly number[];
}
interface Results {
  readonly taps: Readonly<Record<string, Digest>>;
  readonly logits: readonly (readonly number[])[];
  readonly loss: number;
  readonly gradients: Readonly<Record<string, Digest>>;
}
interface Golden {
  readonly name: string;
  readonly depth: number;
  readonly width: number;
  readonly shortcut: 'projection' | 'pad';
  readonly size: readonly [number, number];
  readonly batch: number;
  readonly classes: number;
  readonly labelSmoothing: number;
  readonly parameters: number;
  readonly inference: Results;
  readonly training: Results;
  readonly statistics: Readonly<Record<string, Digest>>;
}

const read = (name: string): string => readFileSync(new URL(`goldens/${name}`, import.meta.url), 'utf8');
const manifest = JSON.parse(read('resnet.manifest.json')) as { seed: number; sha256: string };
const goldens = JSON.parse(read('resnet.json')) as Golden[];

beforeAll(() => useBackend('cpu'));

it('the goldens are those of the manifest', () => {
  expect(createHash('sha256').update(read('resnet.json')).digest('hex')).toBe(manifest.sha256);
});

describe.each(goldens.map((golden) => [golden.name, golden] as const))('%s against PyTorch', (_, golden) => {
  const { depth, width, shortcut, classes, batch, labelSmoothing, size } = golden;
  const network = resnet({ kind: 'resnet', depth, width, shortcut, classes, labelSmoothing });
  const parameters = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');

  it('has the same weights', () => {
    expect(parameters).toEqual(Object.keys(golden.inference.gradients));
    expect(parameters.reduce((sum, name) => sum + sizeOf(network.weights[name]?.shape ?? []), 0)).toBe(golden.parameters);
    for (const name of parameters) expect(network.weights[name]?.shape, name).toEqual(golden.inference.gradients[name]?.shape);
  });

  it.each(['inference', 'training'] as const)('gives the same taps, logits, loss and gradients in %s', (mode) => {
    tf.tidy(() => {
      const expected = golden[mode];
      const weights = Object.fromEntries(
        Object.entries(network.weights).map(([name, spec], i) => {
          const range = rangeOf(name, spec);
          return [name, tf.tensor(randomValues(sizeOf(spec.shape), manifest.seed + i, range), [...spec.shape])];
        }),
      );
      const images = randomTensor<tf.Rank.R4>([batch, ...size, 3], manifest.seed - 1, { min: 0 });
      const labels = Array.from({ length: batch }, (_, i) => (3 * i + 1) % classes);
      const targets = tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), classes), 'float32') as tf.Tensor2D;
      const reached: string[] = [];
      const context: ForwardContext = {
        training: mode === 'training',
        tap: (name, x) => {
          reached.push(name);
          if (name === 'input') expect(x).toBe(images);
          else expectDigest(x, expected.taps[name], name);
          return x;
        },
      };
      const { value, grads } = tf.valueAndGrads((...values) => {
        const given = Object.fromEntries(parameters.map((name, i) => [name, values[i] as tf.Tensor]));
        const { logits, statistics } = network.forward({ ...weights, ...given }, images, context);
        expectClose(logits, expected.logits, goldenTolerance);
        expect(Object.keys(statistics).sort()).toEqual(mode === 'training' ? Object.keys(golden.statistics).sort() : []);
        for (const [name, x] of Object.entries(statistics)) expectDigest(x, golden.statistics[name], name);
        return network.loss(logits, targets);
      })(parameters.map((name) => weights[name] as tf.Tensor));
      expectClose(value, expected.loss, goldenTolerance);
      for (const [i, name] of parameters.entries()) expectDigest(grads[i] as tf.Tensor, expected.gradients[name], name);
      expect(reached).toEqual(network.taps.map(({ name }) => name));
    });
  });
});

/** The root mean square looks at all values, the samples at places. */
function expectDigest(actual: tf.Tensor, expected: Digest | undefined, name: string): void {
  if (expected === undefined) throw new Error(`no golden for ${name}`);
  const values = actual.dataSync<'float32'>();
  try {
    expect(actual.shape).toEqual(expected.shape);
    const largest = values.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const sampled = expected.values.map((_, i) => values[i * expected.step] as number);
    expectClose(sampled, expected.values, { atol: goldenTolerance.rtol * largest });
    const rms = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    expectClose(rms, expected.rms, { rtol: goldenTolerance.rtol });
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
  }
}

/** As `ranges` in the generator. */
function rangeOf(name: string, { shape }: WeightSpec): { min: number; max: number } {
  if (name.endsWith('running_var')) return { min: 0.5, max: 2 };
  if (name.endsWith('running_mean')) return { min: -0.3, max: 0.3 };
  if (/bn|downsample\.1/.test(name)) return name.endsWith('weight') ? { min: 0.5, max: 1.5 } : { min: -0.3, max: 0.3 };
  if (shape.length !== 4) return { min: -0.3, max: 0.3 };
  const [height = 0, width = 0, channels = 0] = shape;
  const bound = Math.sqrt(6 / (height * width * channels));
  return { min: -bound, max: bound };
}
