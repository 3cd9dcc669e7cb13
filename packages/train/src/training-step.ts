/** One step of training as one tensor function: forward, loss, backward, optimiser. Compiled once, it is a single graph. */
import {
  CodaError,
  trainingContext,
  zerosArray,
  type ForwardResult,
  type NamedArrays,
  type NamedTensors,
  type NdArray,
  type Network,
  type Signature,
  type TensorFunction,
} from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { slotName, type Optimiser } from './optimisers.ts';

export interface TrainingStepOptions {
  readonly network: Network;
  readonly optimiser: Optimiser;
  readonly weightDecay: number;
  readonly batchSize: number;
  /** The step takes a frozen stem's features instead of images. */
  readonly onFeatures?: boolean;
}

/** The names of the step's inputs. Scalars of the optimiser are prefixed, so that no weight is called like one. */
export const stepInputs = { images: 'step:images', labels: 'step:labels', scalar: (name: string) => `step:${name}` } as const;
export const stepOutputs = { loss: 'step:loss', correct: 'step:correct' } as const;

/** The weights that a training changes: parameters, and running statistics unless they are a frozen stem's. */
export function carriedWeights(network: Network): readonly string[] {
  const roles = network.frozenStem === undefined ? ['parameter', 'statistic'] : ['parameter'];
  return Object.keys(network.weights).filter((name) => roles.includes(network.weights[name]?.role ?? ''));
}

/** The function and what it carries. Returns loss (mean over the batch) and the number of images whose top class is right. */
export function trainingStep(
  { network, optimiser, weightDecay, batchSize, onFeatures = false }: TrainingStepOptions,
  weights: NamedArrays,
): { fn: TensorFunction; signature: Signature } {
  const { frozenStem } = network;
  if (onFeatures && frozenStem === undefined) {
    throw new CodaError({ kind: 'argument', where: 'train: cacheFeatures', problem: 'the network has no frozen stem whose features could be computed once' });
  }
  const names = carriedWeights(network);
  const parameters = names.filter((name) => network.weights[name]?.role === 'parameter');
  const carried: Record<string, NdArray> = {};
  for (const name of names) carried[name] = weights[name] as NdArray;
  for (const name of parameters) {
    for (const slot of optimiser.slots) carried[slotName(name, slot)] = zerosArray('float32', (weights[name] as NdArray).shape);
  }
  const constants = Object.fromEntries(Object.entries(weights).filter(([name]) => !names.includes(name)));

  const fn: TensorFunction = (tensors) => {
    const labels = tensors[stepInputs.labels] as tf.Tensor1D;
    const targets = tf.cast(tf.oneHot(labels, network.classes), 'float32') as tf.Tensor2D;
    const scalars = Object.fromEntries(Object.keys(optimiser.scalars(1, 1)).map((name) => [name, tensors[stepInputs.scalar(name)] as tf.Tensor]));
    const { loss, grads, logits, statistics } = backward(network, tensors, parameters, targets, onFeatures);
    const results: Record<string, tf.Tensor> = { [stepOutputs.loss]: loss };
    results[stepOutputs.correct] = tf.sum(tf.cast(tf.equal(tf.argMax(logits, 1), labels), 'int32'));
    for (const name of names) results[name] = statistics[name] ?? (tensors[name] as tf.Tensor);
    for (const [i, name] of parameters.entries()) {
      const parameter = tensors[name] as tf.Tensor;
      const decays = weightDecay > 0 && network.weights[name]?.decay === true;
      const gradient = decays ? tf.add(grads[i] as tf.Tensor, tf.mul(parameter, weightDecay)) : (grads[i] as tf.Tensor);
      const slots = Object.fromEntries(optimiser.slots.map((slot) => [slot, tensors[slotName(name, slot)] as tf.Tensor]));
      const next = optimiser.update(parameter, gradient, slots, scalars);
      results[name] = next.parameter;
      for (const [slot, value] of Object.entries(next.slots)) results[slotName(name, slot)] = value;
    }
    return results;
  };
  const shape = onFeatures ? (frozenStem?.featureShape as readonly number[]) : network.inputShape;
  const inputs: Record<string, Signature['inputs'][string]> = {
    [stepInputs.images]: { shape: [batchSize, ...shape], dtype: 'float32' },
    [stepInputs.labels]: { shape: [batchSize], dtype: 'int32' },
  };
  for (const name of Object.keys(optimiser.scalars(1, 1))) inputs[stepInputs.scalar(name)] = { shape: [], dtype: 'float32' };
  return { fn, signature: { inputs, constants, carried } };
}

/** Loss and gradients; logits and new statistics leave the differentiated function on the side, kept until the step's own tidy ends. */
function backward(network: Network, tensors: NamedTensors, parameters: readonly string[], targets: tf.Tensor2D, onFeatures: boolean) {
  let side: ForwardResult | undefined;
  const objective = (...values: tf.Tensor[]): tf.Scalar => {
    const weights = { ...tensors, ...Object.fromEntries(parameters.map((name, i) => [name, values[i] as tf.Tensor])) };
    const input = tensors[stepInputs.images] as tf.Tensor4D;
    const result =
      onFeatures && network.frozenStem !== undefined
        ? network.frozenStem.forwardHead(weights, input, trainingContext)
        : network.forward(weights, input, trainingContext);
    side = {
      logits: tf.keep(result.logits),
      statistics: Object.fromEntries(Object.entries(result.statistics).map(([name, t]) => [name, tf.keep(t)])),
    };
    return network.loss(result.logits, targets);
  };
  const { value, grads } = tf.valueAndGrads(objective)(parameters.map((name) => tensors[name] as tf.Tensor));
  const { logits, statistics } = side as ForwardResult;
  // copies that the surrounding tidy owns; the kept ones are ours to dispose
  const copies = {
    logits: tf.clone(logits),
    statistics: Object.fromEntries(Object.entries(statistics).map(([name, t]) => [name, tf.clone(t)])),
  };
  tf.dispose([logits, ...Object.values(statistics)]);
  return { loss: value, grads, ...copies };
}
