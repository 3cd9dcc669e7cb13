/**
 * Contributions to a logit of a model of `tf.layers` that is made of DAU layers, at its input and at any layer, from one forward and one backward pass.
 * Held at W(x), the contribution of entry i of a tap's activation a to logit c is
 *
 *     s_c,i = [W_{tap→z}(x)]_c,i · a_i = ∂z_c/∂a_i · a_i      every dynamic weight constant       Σ_i s_c,i = z_c − b₀
 *
 * (arXiv 2104.00032, section 3.3; arXiv 2109.13004, section 3). The sum holds at taps above which all is dynamic linear; elsewhere, in the
 * conventional stem of a hybrid or before `Rgb6`, the same product is gradient × activation with the layers above held. `exact` says which it is,
 * the residual what came out.
 */
import {
  checkOptions,
  checkTensor,
  CodaError,
  described,
  gradientsAtTaps,
  nearestName,
  oneHot,
  withDynamicWeightsHeld,
  type ForwardContext,
} from '@coda-nets/core';
import { NetworkLayer } from '@coda-nets/core/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { layers, LayersModel } from '@tensorflow/tfjs-layers';
import { checkModel, exactTaps, insideTaps, inputTap, isExactAt, layersOf, readoutOf, type Readout } from './exact-taps.ts';
import { withTappedLayers } from './tapped-layers.ts';

export interface ContributionsOptions {
  /** The class to explain, for all or for each; −1, the default, is the top class. */
  readonly target?: number | readonly number[];
  /** `input`, or names of layers; of a model that ends in a whole network also the network's own, as `layer/tap`. Default: `exactTaps(model)`. */
  readonly taps?: readonly string[];
}

// Type aliases, not interfaces: only these are assignable to what tf.tidy returns.
export type LayerContributions = {
  /** Whether the sum is z − b₀ by construction. */
  readonly exact: boolean;
  /** [N, h, w] for maps and [N, d] for vectors: contributions, those of a map summed over channels. */
  readonly map: tf.Tensor;
  /** The activation's shape: the contribution of each entry. */
  readonly contributions: tf.Tensor;
  /** The activation's shape: the linear map from this tap to the logit, W_{tap→z}; at an inexact tap the gradient. */
  readonly linearMap: tf.Tensor;
  /** [N] */
  readonly sum: tf.Tensor1D;
  /** [N]: |sum − expected| / max(|expected|, ε), ε = 2⁻²³ · max(1, |b₀|). */
  readonly residual: tf.Tensor1D;
};

export type ModelContributions = {
  /** [N, C]: the model's output, equal to `model.predict(x)`. */
  readonly logits: tf.Tensor2D;
  /** [N, C]: the class that is explained, one-hot. */
  readonly selector: tf.Tensor2D;
  /** [N]: z − b₀ of that class, from before b₀ was added. */
  readonly expected: tf.Tensor1D;
  readonly taps: Readonly<Record<string, LayerContributions>>;
};

const float32Epsilon = 2 ** -23;

/**
 * Explains `model` at x [N, …]. The result's tensors belong to the caller, or to the `tf.tidy` around the call.
 * Throws a CodaError for a model that is not x → [N, C], for a tap it has not, and for a class it has not.
 */
export function contributions(model: LayersModel, x: tf.Tensor, options: ContributionsOptions = {}): ModelContributions {
  return withDynamicWeightsHeld(() => gradientTimesActivation(model, x, options));
}

/**
 * The same without holding the dynamic weights: plain gradient × activation. Not complete on a dynamic linear network, and it localises at chance
 * level (arXiv 2104.00032, section 4.2): a baseline, and the negative control of the residual.
 */
export function inputTimesGradient(model: LayersModel, x: tf.Tensor, options: ContributionsOptions = {}): ModelContributions {
  return gradientTimesActivation(model, x, options);
}

function gradientTimesActivation(model: LayersModel, x: tf.Tensor, options: ContributionsOptions): ModelContributions {
  checkModel('contributions', model);
  checkTensor('contributions: x', x, '[N, …]', 'any');
  checkOptions('contributions: options', options, ['target', 'taps']);
  const { target = -1, taps = exactTaps(model) } = options;
  if (!Array.isArray(taps)) throw refused('taps', 'not a list of names', 'an array', described(taps));
  if (x.shape[0] === 0) return ofNoInputs(model, x, target, taps);
  const inside = insideTaps(model);
  const tapped = taps.filter((name) => name !== inputTap && !inside.has(name)).map((name) => layerNamed(model, name, [...inside.keys()]));
  const readout = readoutOf(model);
  const logitBias = (readout instanceof NetworkLayer ? readout.network.logitBias : readout?.logitBias) ?? 0;
  return tf.tidy(() => {
    const { activations, gradients, extra } = gradientsAtTaps((context) => {
      const run = (): tf.Tensor => model.apply(context.tap(inputTap, tf.cast(x, 'float32'))) as tf.Tensor;
      const tappedRun = (): tf.Tensor => withTappedLayers(tapped, context, run);
      const scores = givingScores(readout, context, tappedRun); // z − b₀
      const selector = selectorOf(scores, target);
      return { objective: tf.sum(tf.mul(scores, selector)), scores, selector };
    }, taps);
    const scores = extra['scores'] as tf.Tensor2D;
    const selector = extra['selector'] as tf.Tensor2D;
    const logits = tf.add(scores, logitBias) as tf.Tensor2D;
    const expected = tf.sum(tf.mul(scores, selector), 1) as tf.Tensor1D;
    const scale = tf.maximum(tf.abs(expected), float32Epsilon * Math.max(1, Math.abs(logitBias)));
    const at = (name: string): LayerContributions => {
      const linearMap = gradients[name] as tf.Tensor;
      const contributions = tf.mul(linearMap, activations[name] as tf.Tensor);
      const map = contributions.rank > 2 ? tf.sum(contributions, -1) : contributions;
      const sum = tf.sum(tf.reshape(contributions, [logits.shape[0], -1]), 1) as tf.Tensor1D;
      const residual = tf.div(tf.abs(tf.sub(sum, expected)), scale) as tf.Tensor1D;
      return { exact: isExactAt(model, name), map, contributions, linearMap, sum, residual };
    };
    return { logits, selector, expected, taps: Object.fromEntries(taps.map((name) => [name, at(name)])) };
  });
}

/** The shapes of the result for one input, without it: backends stumble over arrays of no elements. */
function ofNoInputs(model: LayersModel, x: tf.Tensor, target: number | readonly number[], taps: readonly string[]): ModelContributions {
  if (Array.isArray(target) && target.length > 0) throw refused('target', 'not one class for each input', '0', `${target.length}`);
  return tf.tidy(() => {
    const options = { taps, target: typeof target === 'number' ? target : -1 };
    const one = gradientTimesActivation(model, tf.zeros([1, ...x.shape.slice(1)], x.dtype), options);
    const none = <T extends tf.Tensor>({ shape, dtype }: T): T => tf.zeros([0, ...shape.slice(1)], dtype) as T;
    const { logits, selector, expected } = one;
    const each = Object.entries(one.taps).map(([name, { exact, map, contributions, linearMap, sum, residual }]) => {
      const empty = { map: none(map), contributions: none(contributions), linearMap: none(linearMap) };
      return [name, { exact, ...empty, sum: none(sum), residual: none(residual) }] as const;
    });
    return { logits: none(logits), selector: none(selector), expected: none(expected), taps: Object.fromEntries(each) };
  });
}

/** [N, C] one-hot, a constant for the gradient: one custom-gradient op, because argMax has no gradient in tfjs, and the choice needs none. */
function selectorOf(scores: tf.Tensor, target: number | readonly number[]): tf.Tensor2D {
  const [batch = 0, classes = 0] = scores.shape;
  const isClass = (c: number): boolean => Number.isInteger(c) && c >= -1 && c < classes;
  if (typeof target !== 'number' && !Array.isArray(target))
    throw refused(
      'target',
      'not a class',
      'a number, or an array with one for each input',
      target instanceof tf.Tensor ? 'a tensor' : described(target),
    );
  const targets: readonly number[] =
    typeof target === 'number' ? Array.from({ length: batch }, () => target) : (target as readonly number[]);
  if (scores.rank !== 2) throw refused('model', 'its output is not logits', '[N, C]', `[${scores.shape.join(', ')}]`);
  if (targets.length !== batch) throw refused('target', 'not one class for each input', `${batch}`, `${targets.length}`);
  const wrong = targets.find((c) => !isClass(c));
  if (wrong !== undefined)
    throw refused('target', 'no such class', `an integer from 0 to ${classes - 1}, or -1 for the top class`, `${wrong}`);
  const op = tf.customGrad((...[z]) => {
    const chosen = tf.tensor1d([...targets], 'int32');
    const classOf = tf.where(tf.less(chosen, 0), tf.argMax(z as tf.Tensor, 1), chosen);
    return {
      value: oneHot(tf.cast(classOf, 'int32') as tf.Tensor1D, classes),
      gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
    };
  });
  return op(scores) as tf.Tensor2D;
}

/** Runs the model without its b₀, which rounds small scores away; the taps of a whole network go to `context` under their names in the model. */
function givingScores(readout: Readout | undefined, context: ForwardContext, run: () => tf.Tensor): tf.Tensor {
  if (readout === undefined) return run();
  if (!(readout instanceof NetworkLayer)) return readout.givingScores(run);
  return readout.lookingInside({ training: false, tap: (name, x) => context.tap(`${readout.name}/${name}`, x) }, run);
}

function layerNamed(model: LayersModel, name: string, inside: readonly string[]): layers.Layer {
  const candidates = layersOf(model);
  const layer = candidates.find((candidate) => candidate.name === name);
  if (layer !== undefined) return layer;
  const names = [inputTap, ...candidates.map((candidate) => candidate.name), ...inside];
  const near = typeof name === 'string' ? nearestName(name, names) : undefined;
  throw refused(
    `tap ${described(name)}`,
    'the model has no such layer',
    `one of ${names.join(', ')}`,
    undefined,
    near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  );
}

function refused(what: string, problem: string, expected: string, got?: string, hint?: string): CodaError {
  return new CodaError({ kind: 'argument', where: `contributions: ${what}`, problem, expected, got, hint });
}
