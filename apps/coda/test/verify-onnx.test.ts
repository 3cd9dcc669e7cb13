/** What `verify` says of ONNX files that are not of `export`. Files that are: thread.test.ts. */
import * as tf from '@tensorflow/tfjs-core';
import { initWeights, Random, zerosArray, type TensorFunction } from '@coda-nets/core';
import { codaNetwork } from '@coda-nets/dau';
import { eagerEngine, openOnnx } from '@coda-nets/engine';
import { encodeModel, trace } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, expect, it } from 'vitest';
import { verifyOnnx } from '../src/verify-onnx.ts';

beforeAll(() => useBackend('cpu'));

const network = codaNetwork({
  kind: 'coda',
  inputShape: [4, 4, 3],
  layers: [{ out: 2, kernel: 1, rank: 1 }],
  temperature: 1,
  classes: 2,
});
const weights = initWeights(network, Random.seeded(0));
const model = {
  config: network.config,
  weights,
  classNames: ['a', 'b'],
  preprocessing: { size: [4, 4], resize: 'none' },
} as never;
const reference = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });
const images = zerosArray('float32', [1, 4, 4, 3]);
const image = { shape: ['batch', 4, 4, 3], dtype: 'float32' } as const;
const logitsOf = (x: tf.Tensor): tf.Tensor => tf.slice(tf.reshape(x, [-1, 48]), [0, 0], [-1, 2]);

it.each<[string, TensorFunction, object, string]>([
  [
    'another input',
    ({ image: x, mask }) => ({ logits: logitsOf(tf.mul(x as tf.Tensor, mask as tf.Tensor)) }),
    { image, mask: { shape: [4, 4, 1], dtype: 'float32' } },
    'foreign.onnx: run: inputs: not the inputs of this function; expected image, mask, got image',
  ],
  [
    'no logits',
    ({ image: x }) => ({ scores: logitsOf(x as tf.Tensor) }),
    { image },
    'foreign.onnx: not a file of `coda export`; expected an input "image" and an output "logits", got inputs image',
  ],
  [
    'an output of its own',
    ({ image: x }) => ({ logits: logitsOf(x as tf.Tensor), features: tf.neg(x as tf.Tensor) }),
    { image },
    'foreign.onnx: outputs that the model does not have; expected logits, probabilities, got features',
  ],
])('names the file that has %s', async (_, fn, inputs, text) => {
  const bytes = encodeModel(trace(fn, { inputs: inputs as never }));
  const open = { path: 'x', model, network };
  await expect(verifyOnnx(await openOnnx(bytes, 'foreign.onnx'), 'foreign.onnx', open, images, reference)).rejects.toThrow(text);
});
