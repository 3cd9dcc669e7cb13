/**
 * Somebody else's network under this package's methods: one function that computes logits and shows its activations on the way. Taps, their
 * channels and their strides are read off a black image; weights stay where the function has them.
 */
import { CodaError, type Network, type Tap } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

export interface OwnNetwork {
  /** [H, W, 3]: of the images. */
  readonly inputShape: readonly [number, number, number];
  /**
   * images [N, H, W, 3] → logits [N, classes], image by image independent. Passes each activation that is to be explained through
   * `x = tap(name, x)` and goes on with what comes back; of those the maps [N, h, w, C] become taps. `input` is taken by the images.
   */
  logits(images: tf.Tensor4D, tap: <T extends tf.Tensor>(name: string, x: T) => T): tf.Tensor2D;
  /** [N, classes] → [N, classes]. Default softmax. */
  readonly probabilities?: (logits: tf.Tensor2D) => tf.Tensor2D;
}

/** For `attributor`, `depthProfile` and `explainer`, with `weights: {}`. Runs `logits` once. Throws a CodaError where that gives no logits. */
export function ownNetwork({ inputShape, logits, probabilities = (z) => tf.softmax(z) }: OwnNetwork): Network {
  const taps: Tap[] = [];
  const classes = tf.tidy(() => {
    const record = <T extends tf.Tensor>(name: string, x: T): T => {
      const [, height = 0, , channels = 0] = x.shape;
      if (x.rank === 4) taps.push({ name, channels, stride: Math.max(1, Math.round(inputShape[0] / height)), exact: false });
      return x;
    };
    const { shape } = logits(record('input', tf.zeros([1, ...inputShape])), record);
    if (shape.length === 2 && shape[0] === 1) return shape[1];
    throw new CodaError({
      kind: 'argument',
      where: 'ownNetwork: logits',
      problem: 'not the logits of one image',
      expected: '[1, classes]',
      got: `[${shape.join(', ')}]`,
    });
  });
  const twice = taps.find(({ name }, i) => taps.findIndex((tap) => tap.name === name) !== i);
  if (twice !== undefined) {
    throw new CodaError({ kind: 'argument', where: `ownNetwork: tap ${JSON.stringify(twice.name)}`, problem: 'two taps have this name' });
  }
  return {
    config: { kind: 'own' },
    inputShape,
    classes,
    taps,
    weights: {},
    logitBias: 0,
    forward: (_, images, { tap }) => ({ logits: logits(tap('input', images), tap), statistics: {} }),
    loss: () => {
      throw new CodaError({ kind: 'unsupported', where: 'ownNetwork: loss', problem: 'such a network is explained, not trained' });
    },
    probabilities,
  };
}
