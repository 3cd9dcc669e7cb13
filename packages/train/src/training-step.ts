/** One training step as one pure function: forward, loss, backward, optimiser. For `Engine.compile`; it runs nothing by itself. */
import * as tf from '@tensorflow/tfjs-core';
import {
  CodaError,
  linearMapAt,
  linearMapPenalty,
  ndArray,
  oneHot,
  recordTaps,
  trainingContext,
  type ArraySpec,
  type NamedArrays,
  type NamedTensors,
  type NdArray,
  type Network,
  type Signature,
  type TensorFunction,
} from '@coda-nets/core';
import type { Optimiser, OptimiserStep } from './optimisers.ts';
import type { TrainConfig } from './train-config.ts';

export interface TrainingStepOptions {
  readonly network: Network;
  readonly optimiser: Optimiser;
  /** Static: the graph is made for this size. */
  readonly batchSize: number;
  /** `features`: the input is what the frozen stem gives, and only the head is run. */
  readonly input?: 'images' | 'features';
  /** λ and the number of rows an image; see the config's key of the same name. */
  readonly linearMapPenalty?: TrainConfig['linearMapPenalty'];
  /** Each image has a second label, of the image it was mixed with. */
  readonly mixed?: boolean;
  /** ε: targets become (1 − ε)·t + ε / classes. */
  readonly labelSmoothing?: number;
}

/** The input that says whose rows are penalised: int32 [B, classes]. */
export const penaltyInput = 'linearMapPenalty/classes';

/** The inputs of mixed images: int32 [B], the second label of each, and float32 [B], the weight of its first. */
export const mixedInputs = { labels: 'mixed/labels', weights: 'mixed/weights' } as const;

export interface TrainingStep {
  /**
   * Inputs `images` [B, H, W, 3] or `features` [B, H′, W′, C], `labels` int32 [B], the optimiser's scalars under `scalarInput(name)`, and with
   * a penalty its classes under `penaltyInput`.
   * Returns `loss` (scalar: the network's, mean over the batch, before the update), `correct` (int32 scalar: how many labels are the largest
   * logit), with a penalty `penalty` (scalar: mean |W|, not yet times λ), and all parameters, statistics and slots under their own names.
   */
  readonly fn: TensorFunction;
  /** What to compile it with: all weights of the network and all slots by name. */
  signature(weights: NamedArrays, slots: NamedArrays): Signature;
  /** The optimiser's scalars of one update as inputs. */
  scalars(step: OptimiserStep): NamedArrays;
}

/** The input that holds the optimiser's scalar `name`. */
export function scalarInput(name: string): string {
  return `optimiser/${name}`;
}

/**
 * Throws a CodaError where `features` is asked of a network without a frozen stem, or a penalty of one without a linear map or with fewer classes.
 */
export function trainingStep({
  network,
  optimiser,
  batchSize,
  input = 'images',
  linearMapPenalty: penalty,
  mixed = false,
  labelSmoothing = 0,
}: TrainingStepOptions): TrainingStep {
  const { frozenStem } = network;
  if (penalty !== undefined) checkPenalty(network, penalty.classes);
  if (input === 'features' && frozenStem === undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'trainingStep: input',
      problem: 'this network has no frozen stem, so there are no features to train on',
      expected: '"images"',
      got: '"features"',
    });
  }
  const named = Object.entries(network.weights);
  const parameterNames = named.filter(([, { role }]) => role === 'parameter').map(([name]) => name);
  const statisticNames = named.filter(([, { role }]) => role === 'statistic').map(([name]) => name);
  const shape = input === 'features' && frozenStem !== undefined ? frozenStem.featureShape : network.inputShape;

  const fn: TensorFunction = (tensors) => {
    const batch = tensors[input] as tf.Tensor4D;
    const labels = tensors['labels'] as tf.Tensor1D;
    const parameters = parameterNames.map((name) => tensors[name] as tf.Tensor);
    const beside: Record<string, tf.Tensor> = {};
    const { grads } = tf.valueAndGrads((...values: tf.Tensor[]) => {
      const weights = { ...tensors, ...Object.fromEntries(parameterNames.map((name, i) => [name, values[i] as tf.Tensor])) };
      const { context, activations } = penalty === undefined ? { context: trainingContext } : recordTaps(trainingContext);
      const { logits, statistics } =
        input === 'features' && frozenStem !== undefined
          ? frozenStem.forwardHead(weights, batch, context)
          : network.forward(weights, batch, context);
      const isCorrect = tf.equal(tf.argMax(logits, 1), labels);
      beside['correct'] = tf.sum(tf.cast(isCorrect, 'int32'));
      for (const name of statisticNames) {
        // kept: the gradient ends the scope it was made in
        if (statistics[name] !== undefined) beside[name] = statistics[name];
      }
      const targets = smoothed(mixed ? mixedTargets(labels, tensors, network.classes) : oneHot(labels, network.classes), labelSmoothing);
      const loss = network.loss(logits, targets);
      beside['loss'] = loss;
      if (penalty !== undefined && activations !== undefined) {
        const map = linearMapAt(network, weights, activations);
        beside['penalty'] = linearMapPenalty(map, tensors[penaltyInput] as tf.Tensor2D);
      }
      for (const value of Object.values(beside)) tf.keep(value);
      return penalty === undefined ? loss : tf.add(loss, tf.mul(beside['penalty'] as tf.Tensor, penalty.weight));
    })(parameters);
    // copies belong to whoever runs the step; the kept ones belong to nobody
    const results = Object.fromEntries(Object.entries(beside).map(([name, value]) => [name, tf.clone(value)]));
    tf.dispose(beside);
    const updated = optimiser.apply(
      Object.fromEntries(parameterNames.map((name, i) => [name, parameters[i] as tf.Tensor])),
      Object.fromEntries(parameterNames.map((name, i) => [name, grads[i] as tf.Tensor])),
      tensors,
      Object.fromEntries(optimiser.scalarNames.map((name) => [name, tensors[scalarInput(name)] as tf.Tensor])),
    );
    const unchanged = Object.fromEntries(statisticNames.map((name) => [name, tensors[name] as tf.Tensor]));
    const next: NamedTensors = { ...unchanged, ...results, ...updated.parameters, ...updated.slots };
    return next;
  };

  return {
    fn,
    signature(weights, slots) {
      const isConstant = (name: string): boolean => network.weights[name]?.role === 'frozen';
      const entries = Object.keys(network.weights).map((name) => [name, weights[name] as NdArray] as const);
      const inputs: Record<string, ArraySpec> = {
        [input]: { shape: [batchSize, ...shape], dtype: 'float32' },
        labels: { shape: [batchSize], dtype: 'int32' },
      };
      if (mixed) {
        inputs[mixedInputs.labels] = { shape: [batchSize], dtype: 'int32' };
        inputs[mixedInputs.weights] = { shape: [batchSize], dtype: 'float32' };
      }
      if (penalty !== undefined) inputs[penaltyInput] = { shape: [batchSize, penalty.classes], dtype: 'int32' };
      for (const name of optimiser.scalarNames) inputs[scalarInput(name)] = { shape: [], dtype: 'float32' };
      return {
        inputs,
        constants: input === 'features' ? {} : Object.fromEntries(entries.filter(([name]) => isConstant(name))),
        carried: { ...Object.fromEntries(entries.filter(([name]) => !isConstant(name))), ...slots },
      };
    },
    scalars: (step) =>
      Object.fromEntries(
        Object.entries(optimiser.scalars(step)).map(([name, value]) => [scalarInput(name), ndArray('float32', [], Float32Array.of(value))]),
      ),
  };
}

/** w·t(a) + (1 − w)·t(b) [B, classes]; t: one-hot. */
function mixedTargets(labels: tf.Tensor1D, tensors: NamedTensors, classes: number): tf.Tensor2D {
  const weights = tf.expandDims(tensors[mixedInputs.weights] as tf.Tensor1D, 1);
  const others = oneHot(tensors[mixedInputs.labels] as tf.Tensor1D, classes);
  return tf.add(tf.mul(weights, oneHot(labels, classes)), tf.mul(tf.sub(1, weights), others));
}

/** (1 − ε)·t + ε / classes (Szegedy et al., arXiv 1512.00567, section 7). */
function smoothed(targets: tf.Tensor2D, epsilon: number): tf.Tensor2D {
  if (epsilon === 0) return targets;
  return tf.add(tf.mul(targets, 1 - epsilon), epsilon / (targets.shape[1] as number));
}

function checkPenalty(network: Network, classes: number): void {
  if (network.dynamicLinear === undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'train: config: linearMapPenalty',
      problem: 'this network has no dynamic linear part whose map could be penalised',
      expected: 'a CoDA network or a hybrid',
      got: `kind ${JSON.stringify(network.config.kind)}`,
    });
  }
  if (classes <= network.classes) return;
  throw new CodaError({
    kind: 'argument',
    where: 'train: config: linearMapPenalty.classes',
    problem: 'the network has not so many classes',
    expected: `at most ${network.classes}`,
    got: String(classes),
  });
}
