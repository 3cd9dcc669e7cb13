/** How `linearMap` treats its caller: whose its tensors are, and what it answers to wrong arguments. What it computes: linear-map.test.ts. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { linearMap, linearMapAt } from '@coda-nets/core';
import { expectNoLeak, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { codaNetwork, type CodaConfig } from '../src/index.ts';
import { configs, problem } from './linear-map-problem.ts';

beforeAll(() => useBackend('cpu'));

describe('linearMap', () => {
  const config = configs['sq, rgb6'] as CodaConfig;

  it('gives its tensors to the caller and keeps none, outside of a tidy', () => {
    const { network, weights, x } = problem(config);
    expectNoLeak(() => {
      const map = linearMap(network, weights, x);
      const results = [map.apply(map.activations['input'] as tf.Tensor4D), map.applyTransposed(map.logits)];
      tf.dispose([results, map.activations, map.logits]);
      expect(() => linearMap(network, weights, x, { to: 'input' })).toThrow('linearMap: to: ');
    });
    expect(x.isDisposed).toBe(false);
    tf.dispose([weights, x]);
  });

  it('does not pass the images on as its own where the input tap is the image', () => {
    const { network, weights, x } = problem(configs['l2, plain rgb, three layers'] as CodaConfig);
    const { activations, logits } = linearMap(network, weights, x);
    tf.dispose([activations, logits]);
    expect(x.isDisposed).toBe(false);
    tf.dispose([weights, x]);
  });

  const linearOf =
    (options: object, call: (map: ReturnType<typeof linearMap>) => unknown = () => undefined) =>
    (): void => {
      tf.tidy(() => {
        const { network, weights, x } = problem(config);
        call(linearMap(network, weights, x, options));
      });
    };

  it.each<[string, () => void, string]>([
    [
      'an unknown tap',
      linearOf({ from: 'layer.0' }),
      'linearMap: from: not a tap of the dynamic linear part; expected one of input, layers.0, layers.1, got "layer.0". Did you mean "layers.0"?',
    ],
    [
      'a map that goes down',
      linearOf({ from: 'layers.0', to: 'input' }),
      'linearMap: to: not above "layers.0", where the map begins; expected one of layers.1, got "input"',
    ],
    [
      'a map that ends below the last tap',
      linearOf({ from: 'layers.1', to: 'layers.0' }),
      'linearMap: to: not above "layers.1", where the map begins; expected none: only the logits are above, got "layers.0"',
    ],
    [
      'vectors of another size',
      linearOf({}, (map) => map.apply(tf.ones([2, 5, 4, 3]))),
      'linearMap: apply: vectors: not the same number of maps for each of the 2 images; expected [m·2, 5, 4, 6], got [2, 5, 4, 3]',
    ],
    [
      'cotangents that do not share out',
      linearOf({}, (map) => map.applyTransposed(tf.ones([3, 3]))),
      'linearMap: applyTransposed: cotangents: not the same number of maps for each of the 2 images; expected [m·2, 3], got [3, 3]',
    ],
    [
      'classes for another number of images',
      linearOf({}, (map) => map.rows(tf.zeros([3, 1], 'int32'))),
      'linearMap: rows: classes: not a list of classes for each image; expected int32 [2, m], got int32 [3, 1]',
    ],
    [
      'rows of a map that has no classes',
      linearOf({ to: 'layers.1' }, (map) => map.rows(tf.zeros([2, 1], 'int32'))),
      'linearMap: rows: the map ends at "layers.1", which has no classes. Leave out `to`, or use applyTransposed.',
    ],
    [
      'activations that were not recorded',
      () => void linearMapAt(codaNetwork(config), {}, {}),
      'linearMap: activations: the forward pass did not record "input"',
    ],
    [
      'a network that is none',
      () => void linearMapAt({ ...codaNetwork(config), config: { kind: 'resnet' }, dynamicLinear: undefined } as never, {}, {}),
      'linearMap: network: no part of this network is a dynamic linear map; expected a CoDA network or a hybrid, got kind "resnet"',
    ],
  ])('answers %s with one clear error', (_, call, text) => {
    expect(call).toThrow(text);
  });

  it('gives a row of zeros for a class that does not exist', () => {
    tf.tidy(() => {
      const { network, weights, x } = problem(config);
      const rows = linearMap(network, weights, x).rows(tf.tensor2d([[3], [-1]], [2, 1], 'int32'));
      expect(tf.max(tf.abs(rows)).dataSync()[0]).toBe(0);
    });
  });

  it('is another map at other images', () => {
    // the control of everything above
    tf.tidy(() => {
      const { network, weights, x } = problem(config);
      const other = linearMap(network, weights, randomTensor<tf.Rank.R4>(x.shape, 6, { min: 0 }));
      const map = linearMap(network, weights, x);
      const input = map.activations['input'] as tf.Tensor4D;
      const difference = tf.max(tf.abs(tf.sub(other.apply(input), map.apply(input)))).dataSync()[0] as number;
      expect(difference).toBeGreaterThan(1e-3);
    });
  });
});
