/**
 * Activations and gradients of the target's logit at any number of taps, from one forward and one backward pass: what every gradient-based
 * attribution is a formula of. Which gradient is meant (true, with weights held, guided), the scope around the call decides.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, gradientsAtTaps, nearestName, oneHot } from '@coda-nets/core';
import type { NamedTensors, Network } from '@coda-nets/core';

/** Float32 [N, C] with a 1 at the class to explain (or any weights of classes), or int32 [N] with a class each, −1 for the top class. */
export type Target = tf.Tensor2D | tf.Tensor1D;

export type TapPass = {
  /** [N, C] */
  readonly logits: tf.Tensor2D;
  /** [N, C]: `target` as it was used, one-hot. */
  readonly selector: tf.Tensor2D;
  /** [N]: Σ_c selector_c · (z_c − b₀) */
  readonly expected: tf.Tensor1D;
  /** By tap: [N, h, w, C]. */
  readonly activations: Readonly<Record<string, tf.Tensor4D>>;
  /** By tap: d Σ_c selector_c · z_c / d activation. */
  readonly gradients: Readonly<Record<string, tf.Tensor4D>>;
};

/** images [N, H, W, 3]. The result belongs to the caller's `tf.tidy`. Throws a CodaError, named after the caller, for a tap the network lacks, or one that is no map. */
export function passAtTaps(
  caller: string,
  network: Network,
  weights: NamedTensors,
  images: tf.Tensor4D,
  target: Target,
  tapNames: readonly string[],
): TapPass {
  checkTaps(caller, network, tapNames);
  const { activations, gradients, extra } = gradientsAtTaps((context) => {
    const { logits, scores = tf.sub(logits, network.logitBias) } = network.forward(weights, images, context);
    const selector = selectorOf(logits, target);
    return { objective: tf.sum(tf.mul(logits, selector)), logits, scores, selector };
  }, tapNames);
  for (const [name, { shape }] of Object.entries(activations)) if (shape.length !== 4) throw notAMap(caller, name, shape);
  const selector = extra['selector'] as tf.Tensor2D;
  return {
    logits: extra['logits'] as tf.Tensor2D,
    selector,
    expected: tf.sum(tf.mul(extra['scores'] as tf.Tensor2D, selector), 1),
    activations: activations as TapPass['activations'],
    gradients: gradients as TapPass['gradients'],
  };
}

/**
 * [N, C] one-hot, a constant for the gradient. One custom-gradient op, because argMax has no gradient in tfjs and choosing the top class
 * needs none.
 */
function selectorOf(logits: tf.Tensor2D, target: Target): tf.Tensor2D {
  const [, classes] = logits.shape;
  if (target.rank === 2) return target as tf.Tensor2D;
  const op = tf.customGrad((...[z]) => {
    const classOf = tf.where(tf.less(target, 0), tf.argMax(z as tf.Tensor, 1), target);
    return {
      value: oneHot(tf.cast(classOf, 'int32') as tf.Tensor1D, classes),
      gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
    };
  });
  return op(logits) as tf.Tensor2D;
}

/** Throws a CodaError named after the caller for the first name that is not a tap of the network, or stands twice. */
export function checkTaps(caller: string, network: Network, tapNames: readonly string[]): void {
  const known = network.taps.map((tap) => tap.name);
  for (const [i, name] of tapNames.entries()) {
    if (!known.includes(name)) {
      const near = nearestName(name, known);
      throw new CodaError({
        kind: 'argument',
        where: `${caller}: tap ${JSON.stringify(name)}`,
        problem: 'the network has no such tap',
        expected: `one of ${known.join(', ')}`,
        hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
      });
    }
    if (tapNames.indexOf(name) !== i) {
      throw new CodaError({
        kind: 'argument',
        where: `${caller}: tap ${JSON.stringify(name)}`,
        problem: 'the tap is named twice',
      });
    }
  }
}

function notAMap(caller: string, name: string, shape: readonly number[]): CodaError {
  return new CodaError({
    kind: 'unsupported',
    where: `${caller}: tap ${JSON.stringify(name)}`,
    problem: 'its activation is not a map',
    expected: 'shape [N, h, w, C]',
    got: `[${shape.join(', ')}]`,
  });
}
