import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gradientsAtTaps, holdConstant, type ForwardContext } from '../src/index.ts';

/** Same ops in the same order on the same backend: the difference is accumulation order alone. */
const tolerance = 1e-6;

let before: number;
beforeAll(async () => {
  tf.env().set('IS_TEST', true);
  await import('@tensorflow/tfjs-backend-cpu');
  await tf.setBackend('cpu');
});
beforeEach(() => {
  before = tf.memory().numTensors;
});
afterEach(() => {
  expect(tf.memory().numTensors).toBe(before);
});

const kernels = [
  [3, 3, 2, 3],
  [3, 3, 3, 4],
  [3, 3, 4, 2],
] as const;

function weightsOf(): tf.Tensor4D[] {
  return kernels.map((shape, seed) => tf.randomNormal([...shape], 0, 0.5, 'float32', seed + 1) as tf.Tensor4D);
}

/** tanh-like layers, strided, with a residual path, so that gradients differ everywhere. */
function layer(weights: readonly tf.Tensor4D[], i: number, x: tf.Tensor4D): tf.Tensor4D {
  const y = tf.conv2d(
    tf.pad(x, [
      [0, 0],
      [1, 1],
      [1, 1],
      [0, 0],
    ]),
    weights[i] as tf.Tensor4D,
    i === 1 ? 2 : 1,
    'valid',
  );
  return tf.mul(tf.sigmoid(y), y);
}

function net(weights: readonly tf.Tensor4D[], x: tf.Tensor4D, context: ForwardContext): tf.Tensor {
  let a = context.tap('input', x);
  for (let i = 0; i < weights.length; i++) a = context.tap(`layers.${i}`, layer(weights, i, a));
  return tf.sum(tf.square(a));
}

function expectClose(got: tf.Tensor, want: tf.Tensor): void {
  expect(got.shape).toEqual(want.shape);
  const [a, b] = [got.dataSync(), want.dataSync()];
  const scale = Math.max(...b.map(Math.abs));
  expect(scale).toBeGreaterThan(0);
  a.forEach((x, i) => expect(Math.abs(x - (b[i] as number)) / scale, `at ${i}`).toBeLessThan(tolerance));
}

describe('gradientsAtTaps', () => {
  it('gives what tf.grads gives from each layer on, at odd sizes', () => {
    tf.tidy(() => {
      const weights = weightsOf();
      const x = tf.randomNormal([2, 7, 5, 2], 0, 1, 'float32', 9) as tf.Tensor4D;
      const names = ['input', 'layers.0', 'layers.1', 'layers.2'];
      const { objective, activations, gradients, extra } = gradientsAtTaps((context) => net(weights, x, context), names);
      expect(Object.keys(gradients)).toEqual(names);
      expect(extra).toEqual({});
      let a = x;
      for (let depth = 0; depth < names.length; depth++) {
        const name = names[depth] as string;
        expectClose(activations[name] as tf.Tensor, a);
        const above = (from: tf.Tensor): tf.Tensor => {
          let b = from as tf.Tensor4D;
          for (let i = depth; i < weights.length; i++) b = layer(weights, i, b);
          return tf.sum(tf.square(b));
        };
        expectClose(objective, above(a));
        expectClose(gradients[name] as tf.Tensor, tf.grad(above)(a));
        if (depth < weights.length) a = layer(weights, depth, a);
      }
    });
  });

  it('leaves the caller with the tensors of the result and nothing else, outside of a tidy', () => {
    const weights = weightsOf();
    const x = tf.ones([1, 5, 5, 2]) as tf.Tensor4D;
    const start = tf.memory().numTensors;
    const result = gradientsAtTaps(
      (context) => {
        const objective = net(weights, x, context);
        return { objective, twice: tf.mul(objective, 2) };
      },
      ['layers.2', 'layers.0'],
    );
    expect(tf.memory().numTensors).toBe(start + 6);
    expect(Object.keys(result.activations)).toEqual(['layers.2', 'layers.0']);
    expect(result.extra['twice']?.dataSync()[0]).toBe(2 * (result.objective.dataSync()[0] as number));
    expect(x.isDisposed).toBe(false);
    tf.dispose([result.objective, result.activations, result.gradients, result.extra, x, weights] as never);
  });

  it('does not back-propagate below the shallowest requested tap', () => {
    tf.tidy(() => {
      let below = 0;
      const counted = tf.customGrad((...[value]) => ({
        value: tf.clone(value as tf.Tensor),
        gradFunc: (dy: tf.Tensor) => {
          below++;
          return dy;
        },
      }));
      const forward = (context: ForwardContext): tf.Tensor => {
        const a = context.tap('input', tf.tensor1d([1, 2]));
        return tf.sum(tf.square(context.tap('a', counted(a))));
      };
      expect(gradientsAtTaps(forward, ['a']).gradients['a']?.arraySync()).toEqual([2, 4]);
      expect(below).toBe(0);
      gradientsAtTaps(forward, ['input', 'a']);
      expect(below).toBe(1);
    });
  });

  it('adds up both paths of an activation that is used twice', () => {
    tf.tidy(() => {
      const { gradients } = gradientsAtTaps(
        (context) => {
          const x = context.tap('x', tf.tensor1d([3]));
          const y = context.tap('y', tf.square(x));
          return tf.sum(tf.add(tf.mul(y, x), x));
        },
        ['x', 'y'],
      );
      expect(gradients['x']?.arraySync()).toEqual([28]);
      expect(gradients['y']?.arraySync()).toEqual([3]);
    });
  });

  it('works without taps', () => {
    tf.tidy(() => {
      expect(gradientsAtTaps(() => tf.scalar(3), []).objective.arraySync()).toBe(3);
    });
  });

  const forward = (context: ForwardContext): tf.Tensor => tf.sum(context.tap('layers.0', context.tap('input', tf.ones([2]))));
  it.each([
    [
      'an unknown tap',
      forward,
      ['layer.0'],
      'gradientsAtTaps: tap "layer.0": the forward pass has no such tap; expected one of input, layers.0. Did you mean "layers.0"?',
    ],
    ['a tap without influence', (c: ForwardContext) => tf.sum(holdConstant(forward(c))), ['layers.0'], undefined],
    [
      'no path at all',
      (c: ForwardContext) => (forward(c), tf.scalar(1)),
      ['input'],
      'gradientsAtTaps: tap "input": the objective does not depend on the tap',
    ],
    [
      'a tap reached twice',
      (c: ForwardContext) => (forward(c), forward(c)),
      ['input'],
      'gradientsAtTaps: tap "input": the forward pass reaches the tap twice',
    ],
    [
      'no scalar',
      (c: ForwardContext) => c.tap('input', tf.ones([2])),
      ['input'],
      'gradientsAtTaps: forward: the objective is not a scalar; got shape [2]',
    ],
  ])('%s is named, and nothing leaks', (_, run, taps, text) => {
    const call = (): unknown => tf.tidy(() => gradientsAtTaps(run, taps) && undefined);
    if (text === undefined) expect(call).not.toThrow();
    else expect(call).toThrow(text);
  });
});
