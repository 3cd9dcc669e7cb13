import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { expectClose, expectNoLeak, useBackend } from '@coda-nets/tools/testkit';
import { attributor } from '../src/attributor.ts';
import { attributionMethods as methods } from '../src/methods/attribution-methods.ts';
import { ownNetwork } from '../src/own-network.ts';
import { eagerEngine, toyImages, toyNetwork, toyWeights, toTensors, TOY_SIZE } from './toy-network.ts';

/** The same operations in the same order. */
const SAME = { rtol: 1e-6, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

test('a function that shows its activations is a network: the same maps at the same taps', async () => {
  const toy = toyNetwork({ stem: true });
  const weights = toyWeights(toy);
  const tensors = toTensors(weights);
  const own = ownNetwork({
    inputShape: [...TOY_SIZE, 3],
    logits: (images, tap) =>
      toy.forward(tensors, images, { training: false, tap: (name, x) => (name === 'input' ? x : tap(name, x)) }).logits,
    probabilities: (z) => tf.sigmoid(z),
  });
  expect(own.taps).toEqual([
    { name: 'input', channels: 3, stride: 1, exact: false },
    { name: 'stem', channels: 6, stride: 1, exact: false },
    { name: 'layer1', channels: 5, stride: 1, exact: false },
    { name: 'layer2', channels: 4, stride: 1, exact: false },
  ]);
  expect(own.classes).toBe(4);
  for (const method of [methods.contributions(), methods.occlusion({ window: 2 })]) {
    const [a, b] = [
      await attributor({ engine: eagerEngine, network: own, weights: {}, method, taps: ['stem', 'layer1'] }),
      await attributor({ engine: eagerEngine, network: toy, weights, method, taps: ['stem', 'layer1'] }),
    ];
    const [mine, theirs] = [await a.attribute(toyImages(2)), await b.attribute(toyImages(2))];
    expectClose(mine.probabilities.data, theirs.probabilities.data, SAME);
    for (const [i, { maps }] of mine.taps.entries()) expectClose(maps.data, theirs.taps[i]?.maps.data as Float32Array, SAME);
  }
  tf.dispose(tensors);
});

test('what gives no logits is refused', () => {
  const network = (logits: (x: tf.Tensor4D, tap: (name: string, x: tf.Tensor) => tf.Tensor) => tf.Tensor) => () =>
    ownNetwork({ inputShape: [4, 4, 3], logits: logits as never });
  expect(network((x) => x)).toThrow('ownNetwork: logits: not the logits of one image; expected [1, classes], got [1, 4, 4, 3]');
  expect(network((x, tap) => tf.mean(tap('a', tap('a', x)), [1, 2]))).toThrow('ownNetwork: tap "a": two taps have this name');
  expectNoLeak(() => void network((x) => tf.mean(x, [1, 2]))());
  expect(() => network((x) => tf.mean(x, [1, 2]))().loss(undefined as never, undefined as never)).toThrow(
    'ownNetwork: loss: such a network is explained, not trained',
  );
});
