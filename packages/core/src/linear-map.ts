/**
 * The linear map that a network is at its images, as an object: W·v, Wᵀ·y, rows, and their mean size as a loss.
 *
 *     a_to = W_{from→to}(a) a_from          z − b₀ = W_{from→z}(a) a_from
 *
 * with a the activations of one forward pass, which choose W (arXiv 2109.13004, section 3). Not a gradient with weights held: W is written out
 * in ordinary operations (`DynamicLinear`), so that a vector other than a_from can pass through it and a loss can be made of it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkPerImage, checkTensor } from './check-argument.ts';
import { CodaError } from './errors.ts';
import { inferenceContext, recordTaps } from './forward-context.ts';
import { nearestName } from './nearest-name.ts';
import type { DynamicLinear, NamedTensors, Network } from './network.ts';
import { oneHot } from './one-hot.ts';
import './tfjs.ts';

export interface LinearMapOptions {
  /** The tap whose activation W takes; default the deepest exact one. */
  readonly from?: string;
  /** The tap whose activation W gives; by default W gives the logits without b₀, z − b₀. */
  readonly to?: string;
}

/** Of N images. m vectors for each image stand image by image. Tensors that come back belong to the caller. */
export interface LinearMap {
  readonly from: string;
  readonly to: string | undefined;
  /** W·v: [m·N, H, W, C] at `from` → [m·N, H', W', C'] at `to`, or [m·N, classes]. */
  apply(vectors: tf.Tensor4D): tf.Tensor;
  /** Wᵀ·y: the other way round, as a backward pass with the dynamic weights held. */
  applyTransposed(cotangents: tf.Tensor): tf.Tensor4D;
  /**
   * The rows [W_{from→z}]_c of classes int32 [N, m]: [N, m, H, W, C], so that Σ row ⊙ a_from = z_c − b₀. One of a class that does not exist is 0.
   * Without `to` alone.
   */
  rows(classes: tf.Tensor2D): tf.Tensor5D;
}

/** One forward pass; `activations` and `logits` belong to the caller (or to the `tf.tidy` around), and the map is good as long as they are. */
export type LinearMapOfImages = LinearMap & {
  /** By tap, from the deepest exact one on. */
  readonly activations: NamedTensors;
  /** [N, classes], b₀ included. */
  readonly logits: tf.Tensor2D;
};

/**
 * The map at images [N, H, W, 3].
 * Throws a CodaError for a network without a dynamic linear part, and for taps that are not of it or stand in the wrong order.
 */
export function linearMap(network: Network, weights: NamedTensors, images: tf.Tensor4D, options: LinearMapOptions = {}): LinearMapOfImages {
  const { taps } = dynamicLinearOf(network);
  const { logits, activations } = tf.tidy(() => {
    const recorded = recordTaps(inferenceContext);
    const result = network.forward(weights, images, recorded.context);
    // Clones, because a tap may pass on the images themselves.
    const cloned = taps.map((name) => [name, tf.clone(recorded.activations[name] as tf.Tensor)] as const);
    return { logits: result.logits, activations: Object.fromEntries(cloned) };
  });
  try {
    return { ...linearMapAt(network, weights, activations, options), activations, logits };
  } catch (error) {
    tf.dispose([logits, activations]);
    throw error;
  }
}

/** The map that the activations of a forward pass choose (`recordTaps`); for a loss, in the pass that is differentiated. Throws as `linearMap`. */
export function linearMapAt(
  network: Network,
  weights: NamedTensors,
  activations: NamedTensors,
  { from, to }: LinearMapOptions = {},
): LinearMap {
  const linear = dynamicLinearOf(network);
  const start = from ?? (linear.taps[0] as string);
  for (const [name, key] of [
    [start, 'from'],
    [to, 'to'],
  ] as const)
    if (name !== undefined) checkTap(linear, name, key);
  const above = linear.taps.slice(linear.taps.indexOf(start) + 1);
  if (to !== undefined && !above.includes(to)) {
    throw new CodaError({
      kind: 'argument',
      where: 'linearMap: to',
      problem: `not above ${JSON.stringify(start)}, where the map begins`,
      expected: above.length === 0 ? 'none: only the logits are above' : `one of ${above.join(', ')}`,
      got: JSON.stringify(to),
    });
  }
  const [images = 0, ...input] = shapeAt(activations, start);
  const output = to === undefined ? [network.classes] : shapeAt(activations, to).slice(1);
  const applyTransposed = (cotangents: tf.Tensor): tf.Tensor4D => {
    checkPerImage('linearMap: applyTransposed: cotangents', cotangents, [images, ...output]);
    return tf.tidy(() => linear.applyTransposed(weights, activations, cotangents, start, to));
  };
  return {
    from: start,
    to,
    apply: (vectors) => {
      checkPerImage('linearMap: apply: vectors', vectors, [images, ...input]);
      return tf.tidy(() => linear.apply(weights, activations, vectors, start, to));
    },
    applyTransposed,
    rows: (classes) => {
      checkClasses(classes, images, to);
      const count = images * classes.shape[1];
      return tf.tidy(() => {
        const selectors = oneHot(tf.reshape(classes, [count]), network.classes);
        const [h, w, channels] = input as [number, number, number];
        return tf.reshape(applyTransposed(selectors), [images, classes.shape[1], h, w, channels]);
      });
    },
  };
}

/**
 * mean |[W_{from→z}]_c| over the classes, images, positions and channels: what the regulariser of the linear map multiplies by λ
 * (arXiv 2109.13004). Its classes are the true one and n − 1 others drawn at random; `classes` int32 [N, n]. A scalar, differentiable by the
 * weights through every dynamic weight. W includes 1/T: a λ for the map without temperature is to be multiplied by T.
 */
export function linearMapPenalty(map: LinearMap, classes: tf.Tensor2D): tf.Scalar {
  return tf.tidy(() => tf.mean(tf.abs(map.rows(classes))) as tf.Scalar);
}

function dynamicLinearOf({ dynamicLinear, config }: Network): DynamicLinear {
  if (dynamicLinear !== undefined) return dynamicLinear;
  throw new CodaError({
    kind: 'unsupported',
    where: 'linearMap: network',
    problem: 'no part of this network is a dynamic linear map',
    expected: 'a CoDA network or a hybrid',
    got: `kind ${JSON.stringify(config.kind)}`,
  });
}

function checkTap({ taps }: DynamicLinear, name: string, key: string): void {
  if (taps.includes(name)) return;
  const near = nearestName(name, taps);
  throw new CodaError({
    kind: 'argument',
    where: `linearMap: ${key}`,
    problem: 'not a tap of the dynamic linear part',
    expected: `one of ${taps.join(', ')}`,
    got: JSON.stringify(name),
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}

function shapeAt(activations: NamedTensors, name: string): readonly number[] {
  const activation = activations[name];
  if (activation !== undefined) return activation.shape;
  throw new CodaError({
    kind: 'argument',
    where: 'linearMap: activations',
    problem: `the forward pass did not record ${JSON.stringify(name)}`,
  });
}

function checkClasses(classes: tf.Tensor2D, images: number, to: string | undefined): void {
  checkTensor('linearMap: rows: classes', classes, `[${images}, m]`, 'any');
  if (to !== undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'linearMap: rows',
      problem: `the map ends at ${JSON.stringify(to)}, which has no classes`,
      hint: 'Leave out `to`, or use applyTransposed.',
    });
  }
  if (classes.rank === 2 && classes.dtype === 'int32' && classes.shape[0] === images) return;
  throw new CodaError({
    kind: 'argument',
    where: 'linearMap: rows: classes',
    problem: 'not a list of classes for each image',
    expected: `int32 [${images}, m]`,
    got: `${classes.dtype} [${classes.shape.join(', ')}]`,
  });
}
