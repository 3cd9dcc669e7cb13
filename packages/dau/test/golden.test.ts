import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeSafetensors, gradientsAtTaps, trainingContext, withDynamicWeightsHeld, type NdArray } from '@coda-nets/core';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import { codaNetwork, type CodaConfig } from '../src/index.ts';

/** float32 here, float64 there, three layers; relative to the largest of each tensor, since contributions cancel. */
const tolerance = { rtol: 1e-5, relativeTo: 'largest' } as const;

const manifest = JSON.parse(readFileSync(new URL('golden/dau.json', import.meta.url), 'utf8')) as {
  sha256: string;
  config: CodaConfig;
};
const bytes = readFileSync(new URL('golden/dau.safetensors', import.meta.url));
const { tensors } = decodeSafetensors(bytes, 'golden/dau.safetensors');

function golden(name: string): tf.Tensor {
  const { data, shape } = tensors[name] as NdArray<'float32'>;
  return tf.tensor(data, [...shape]);
}

/** The published layout: B [r, C, k, k]; A [d·n, r, 1, 1] and b [d·n], where d·n is (c, ky, kx, unit). */
function fromPublished(prefix: string, i: number): Record<string, tf.Tensor> {
  const first = golden(`${prefix}${i}.weight_mod.weighting_f.0.weight`);
  const [r, C, k] = first.shape as [number, number, number, number];
  const second = golden(`${prefix}${i}.weight_mod.weighting_f.1.weight`);
  const n = second.size / (C * k * k * r);
  return {
    [`layers.${i}.B`]: tf.transpose(first, [2, 3, 1, 0]),
    [`layers.${i}.A`]: tf.transpose(tf.reshape(second, [C, k, k, n, r]), [1, 2, 0, 3, 4]),
    [`layers.${i}.b`]: tf.transpose(tf.reshape(golden(`${prefix}${i}.weight_mod.weighting_f.1.bias`), [C, k, k, n]), [1, 2, 0, 3]),
  };
}

function all(prefix: string): Record<string, tf.Tensor> {
  return Object.assign({}, ...manifest.config.layers.map((_, i) => fromPublished(prefix, i)));
}

beforeAll(() => useBackend('cpu'));

describe.each(['sq', 'l2'] as const)('against PyTorch in the published formulation (%s)', (norm) => {
  const network = codaNetwork({ ...manifest.config, norm });
  const taps = network.taps.map(({ name }) => name);

  it('has a golden file that is the one its manifest describes', () => {
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(manifest.sha256);
  });

  it.each([0, 1, 2])('gives the same activations and contributions at every tap for class %i', (target) => {
    tf.tidy(() => {
      const weights = all('');
      const { activations, gradients, extra } = withDynamicWeightsHeld(() =>
        gradientsAtTaps((context) => {
          const { logits } = network.forward(weights, golden('images') as tf.Tensor4D, context);
          return { objective: tf.sum(tf.slice(logits, [0, target], [2, 1])), logits };
        }, taps),
      );
      expectClose(extra['logits'] as tf.Tensor, golden(`${norm}.logits`), tolerance);
      for (const [i, name] of taps.entries()) {
        const a = activations[name] as tf.Tensor;
        expectClose(a, golden(`${norm}.activation.${i}`), tolerance);
        expectClose(tf.mul(a, gradients[name] as tf.Tensor), golden(`${norm}.contribution.${target}.${i}`), tolerance);
      }
    });
  });

  it('gives the same loss and weight gradients', () => {
    tf.tidy(() => {
      const weights = all('');
      const names = Object.keys(weights);
      const loss = (...values: tf.Tensor[]): tf.Scalar => {
        const named = Object.fromEntries(names.map((name, i) => [name, values[i] as tf.Tensor]));
        const { logits } = network.forward(named, golden('images') as tf.Tensor4D, trainingContext);
        return network.loss(logits, golden('targets') as tf.Tensor2D);
      };
      const { value, grads } = tf.valueAndGrads(loss as never)(Object.values(weights));
      expectClose(value, golden(`${norm}.loss`), tolerance);
      const expected = all(`${norm}.gradient.`);
      for (const [i, name] of names.entries()) expectClose(grads[i] as tf.Tensor, expected[name] as tf.Tensor, tolerance);
    });
  });
});
