/** One training step as one pure function: forward, loss, backward, optimiser. For `Engine.compile`; it runs nothing by itself. */
import * as tf from '@tensorflow/tfjs-core';
import {
  CodaError,
  ndArray,
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

export interface TrainingStepOptions {
  readonly network: Network;
  readonly optimiser: Optimiser;
  /** Static: the graph is made for this size. */
  readonly batchSize: number;
  /** `features`: the input is what the frozen stem gives, and only the head is run. */
  readonly input?: 'images' | 'features';
}

export interface TrainingStep {
  /**
   * Inputs `images` [B, H, W, 3] or `features` [B, H′, W′, C], `labels` int32 [B], and the optimiser's scalars under `scalarInput(name)`.
   * Returns `loss` (scalar: mean over the batch, before the update), `correct` (int32 scalar: how many labels are the largest logit), and all
   * parameters, statistics and slots under their own names.
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

/** Throws a CodaError where `features` is asked of a network without a frozen stem. */
export function trainingStep({ network, optimiser, batchSize, input = 'images' }: TrainingStepOptions): TrainingStep {
  const { frozenStem } = network;
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
    const { value: loss, grads } = tf.valueAndGrads((...values: tf.Tensor[]) => {
      const weights = { ...tensors, ...Object.fromEntries(parameterNames.map((name, i) => [name, values[i] as tf.Tensor])) };
      const { logits, statistics } =
        input === 'features' && frozenStem !== undefined
          ? frozenStem.forwardHead(weights, batch, trainingContext)
          : network.forward(weights, batch, trainingContext);
      const isCorrect = tf.equal(tf.argMax(logits, 1), labels);
      beside['correct'] = tf.sum(tf.cast(isCorrect, 'int32'));
      for (const name of statisticNames) {
        // kept: the gradient ends the scope it was made in
        if (statistics[name] !== undefined) beside[name] = statistics[name];
      }
      for (const value of Object.values(beside)) tf.keep(value);
      const targets = tf.oneHot(labels, network.classes, 1, 0, 'float32') as tf.Tensor2D;
      return network.loss(logits, targets);
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
    return { loss, ...next };
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
      for (const name of optimiser.scalarNames) inputs[scalarInput(name)] = { shape: [], dtype: 'float32' };
      return {
        inputs,
        constants: input === 'features' ? {} : Object.fromEntries(entries.filter(([name]) => isConstant(name))),
        carried: { ...Object.fromEntries(entries.filter(([name]) => !isConstant(name))), ...slots },
      };
    },
    scalars: (step) =>
      Object.fromEntries(
        Object.entries(optimiser.scalars(step)).map(([name, value]) => [
          scalarInput(name),
          ndArray('float32', [], Float32Array.of(value)),
        ]),
      ),
  };
}
