/**
 * Networks of many shapes against PyTorch in float64 in the published formulation (tools/goldens/dau.py): activations and contributions at every
 * tap, logits, loss, and the gradients of all weights and of the images, on every backend there is.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeSafetensors, gradientsAtTaps, oneHot, trainingContext, withDynamicWeightsHeld, type NdArray } from '@coda-nets/core';
import { expectClose, hasBackend, useBackend } from '@coda-nets/tools/testkit';
import { codaNetwork, type CodaConfig } from '../src/index.ts';

/** float32 here, float64 there, up to seven layers; relative to the largest of each tensor, since contributions cancel. */
const tolerance = { rtol: 1e-5, relativeTo: 'largest' } as const;

const manifest = JSON.parse(readFileSync(new URL('golden/dau.json', import.meta.url), 'utf8')) as {
  sha256: string;
  networks: { name: string; config: CodaConfig }[];
};
const bytes = readFileSync(new URL('golden/dau.safetensors', import.meta.url));
const { tensors } = decodeSafetensors(bytes, 'golden/dau.safetensors');

function golden(name: string): tf.Tensor {
  const { data, shape, dtype } = tensors[name] as NdArray<'float32' | 'int32'>;
  return tf.tensor(data, [...shape], dtype);
}

/** The published layout: B [r, C, k, k]; A [d·n, r, 1, 1] and b [d·n], where d·n is (c, ky, kx, unit). `what`: the weights, or their `gradient.`. */
function fromPublished(network: string, what: '' | 'gradient.', i: number): Record<string, tf.Tensor> {
  const [B, A, b] = ['0.weight', '1.weight', '1.bias'].map((name) => golden(`${network}/${what}${i}.weight_mod.weighting_f.${name}`)) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  const [r, C, k] = B.shape as [number, number, number];
  return {
    [`layers.${i}.B`]: tf.transpose(B, [2, 3, 1, 0]),
    [`layers.${i}.A`]: tf.transpose(tf.reshape(A, [C, k, k, -1, r]), [1, 2, 0, 3, 4]),
    [`layers.${i}.b`]: tf.transpose(tf.reshape(b, [C, k, k, -1]), [1, 2, 0, 3]),
  };
}

/** Fails as `fn` does, except that a kernel the backend lacks skips the test, in words. */
function orSkip(skip: (why: string) => void, fn: () => void): void {
  try {
    fn();
  } catch (error) {
    const kernel = /Kernel '(\w+)' not registered for backend '(\w+)'/.exec(String(error));
    if (kernel === null) throw error;
    skip(`the backend ${kernel[2]} has no kernel ${kernel[1]}`);
  }
}

it('has a golden file that is the one its manifest describes', () => {
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(manifest.sha256);
  expect(manifest.networks.length).toBeGreaterThanOrEqual(12);
});

const backends = await Promise.all(
  (['cpu', 'wasm', 'tensorflow'] as const).map(async (backend) => ({ backend, missing: !(await hasBackend(backend)) })),
);

for (const { backend, missing } of backends) {
  describe.skipIf(missing)(
    `on ${backend}${missing ? ' (SKIPPED: not installed here)' : ''}, against PyTorch in the published formulation`,
    () => {
      beforeAll(() => useBackend(backend), 60_000);
      describe.each(manifest.networks)('$name', (network) => {
        agreesWithGolden(network);
      });
    },
  );
}

function agreesWithGolden({ name, config }: (typeof manifest.networks)[number]): void {
  const network = codaNetwork(config);
  const taps = network.taps.map((tap) => tap.name);
  const weightsOf = (what: '' | 'gradient.'): Record<string, tf.Tensor> =>
    Object.assign({}, ...config.layers.map((_, i) => fromPublished(name, what, i)));

  it('gives the same activations and contributions at every tap', () => {
    tf.tidy(() => {
      const weights = weightsOf('');
      const chosen = oneHot(golden(`${name}/labels`) as tf.Tensor1D, network.classes);
      const { activations, gradients, extra } = withDynamicWeightsHeld(() =>
        gradientsAtTaps((context) => {
          const { logits } = network.forward(weights, golden(`${name}/images`) as tf.Tensor4D, context);
          return { objective: tf.sum(tf.mul(logits, chosen)), logits };
        }, taps),
      );
      expectClose(extra['logits'] as tf.Tensor, golden(`${name}/logits`), tolerance);
      for (const [i, tap] of taps.entries()) {
        const a = activations[tap] as tf.Tensor;
        expectClose(a, golden(`${name}/activation.${i}`), tolerance);
        expectClose(tf.mul(a, gradients[tap] as tf.Tensor), golden(`${name}/contribution.${i}`), tolerance);
      }
    });
  });

  it('gives the same loss, and gradients of weights and images', ({ skip }) => {
    orSkip(skip, () =>
      tf.tidy(() => {
        const weights = weightsOf('');
        const names = Object.keys(weights);
        const loss = (images: tf.Tensor, ...values: tf.Tensor[]): tf.Scalar => {
          const named = Object.fromEntries(names.map((weight, i) => [weight, values[i] as tf.Tensor]));
          const { logits } = network.forward(named, images as tf.Tensor4D, trainingContext);
          return network.loss(logits, golden(`${name}/targets`) as tf.Tensor2D);
        };
        const { value, grads } = tf.valueAndGrads(loss as never)([golden(`${name}/images`), ...Object.values(weights)]);
        expectClose(value, golden(`${name}/loss`), tolerance);
        const [ofImages, ...ofWeights] = grads as [tf.Tensor, ...tf.Tensor[]];
        expectClose(ofImages, golden(`${name}/gradient.images`), tolerance);
        const expected = weightsOf('gradient.');
        for (const [i, weight] of names.entries()) expectClose(ofWeights[i] as tf.Tensor, expected[weight] as tf.Tensor, tolerance);
      }),
    );
  });
}
