/** The first half of a training step as one pure function: forward, loss, backward. What is done with the gradients is `training-update.ts`. */
import * as tf from '@tensorflow/tfjs-core';
import {
  CodaError,
  linearMapAt,
  linearMapPenalty,
  oneHot,
  recordTaps,
  trainingContext,
  type ArraySpec,
  type ForwardContext,
  type NamedTensors,
  type Network,
  type RankStatistics,
} from '@coda-nets/core';
import { depthInput, residualBranches, withStochasticDepth } from './stochastic-depth.ts';
import type { TrainConfig } from './train-config.ts';

export interface GradientOptions {
  readonly network: Network;
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
  /** Residual branches are left out as the input `depthInput` says. */
  readonly stochasticDepth?: boolean;
  /** Where the batch is spread over several processes: what batch norms make of it. */
  readonly ranks?: RankStatistics | undefined;
}

/** The input that says whose rows are penalised: int32 [B, classes]. */
export const penaltyInput = 'linearMapPenalty/classes';

/** The inputs of mixed images: int32 [B], the second label of each, and float32 [B], the weight of its first. */
export const mixedInputs = { labels: 'mixed/labels', weights: 'mixed/weights' } as const;

export interface TrainingGradient {
  readonly parameterNames: readonly string[];
  readonly statisticNames: readonly string[];
  /** All but the weights. */
  readonly inputs: Readonly<Record<string, ArraySpec>>;
  /** Of all weights and inputs by name. `gradients`: by parameter. `outputs`: `loss`, `correct`, with a penalty `penalty`, and each new statistic. */
  compute(tensors: NamedTensors): { readonly gradients: NamedTensors; readonly outputs: NamedTensors };
}

/**
 * Throws a CodaError where `features` is asked of a network without a frozen stem, a penalty of one without a linear map or with fewer classes, or
 * stochastic depth of one without residual branches.
 */
export function trainingGradient({
  network,
  batchSize,
  input = 'images',
  linearMapPenalty: penalty,
  mixed = false,
  labelSmoothing = 0,
  stochasticDepth = false,
  ranks,
}: GradientOptions): TrainingGradient {
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
  const branches = stochasticDepth ? residualBranches(network) : [];
  const ownContext: ForwardContext = ranks === undefined ? trainingContext : { ...trainingContext, ranks };
  const contextOf = (tensors: NamedTensors): ForwardContext =>
    stochasticDepth ? withStochasticDepth(ownContext, branches, tensors[depthInput] as tf.Tensor2D) : ownContext;

  const compute: TrainingGradient['compute'] = (tensors) => {
    const batch = tensors[input] as tf.Tensor4D;
    const labels = tensors['labels'] as tf.Tensor1D;
    const parameters = parameterNames.map((name) => tensors[name] as tf.Tensor);
    const beside: Record<string, tf.Tensor> = {};
    const { grads } = tf.valueAndGrads((...values: tf.Tensor[]) => {
      const weights = { ...tensors, ...Object.fromEntries(parameterNames.map((name, i) => [name, values[i] as tf.Tensor])) };
      const plain = contextOf(tensors);
      const { context, activations } = penalty === undefined ? { context: plain } : recordTaps(plain);
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
    const outputs = Object.fromEntries(Object.entries(beside).map(([name, value]) => [name, tf.clone(value)]));
    tf.dispose(beside);
    return { gradients: Object.fromEntries(parameterNames.map((name, i) => [name, grads[i] as tf.Tensor])), outputs };
  };

  const inputs: Record<string, ArraySpec> = {
    [input]: { shape: [batchSize, ...shape], dtype: 'float32' },
    labels: { shape: [batchSize], dtype: 'int32' },
  };
  if (mixed) {
    inputs[mixedInputs.labels] = { shape: [batchSize], dtype: 'int32' };
    inputs[mixedInputs.weights] = { shape: [batchSize], dtype: 'float32' };
  }
  if (penalty !== undefined) inputs[penaltyInput] = { shape: [batchSize, penalty.classes], dtype: 'int32' };
  if (stochasticDepth) inputs[depthInput] = { shape: [batchSize, branches.length], dtype: 'float32' };
  return { parameterNames, statisticNames, inputs, compute };
}

/** w·t(a) + (1 − w)·t(b) [B, classes]; t: one-hot. */
function mixedTargets(labels: tf.Tensor1D, tensors: NamedTensors, classes: number): tf.Tensor2D {
  const weights = tf.expandDims(tensors[mixedInputs.weights] as tf.Tensor1D, 1);
  const others = oneHot(tensors[mixedInputs.labels] as tf.Tensor1D, classes);
  return tf.add(tf.mul(weights, oneHot(labels, classes)), tf.mul(tf.sub(1, weights), others));
}

/** (1 − ε)·t + ε / classes (Szegedy et al., arXiv 1512.00567, section 7). */
export function smoothed(targets: tf.Tensor2D, epsilon: number): tf.Tensor2D {
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
