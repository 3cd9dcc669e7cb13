/**
 * One training step as one pure function: forward, loss, backward, optimiser. For `Engine.compile`; it runs nothing by itself. Its halves also stand
 * apart, for gradients that leave the graph, are summed over processes, and come back.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  ndArray,
  zerosArray,
  type ArraySpec,
  type NamedArrays,
  type NamedTensors,
  type NdArray,
  type Signature,
  type TensorFunction,
} from '@coda-nets/core';
import { slotName } from './optimisers.ts';
import { trainingGradient, type GradientOptions } from './training-gradient.ts';
import { trainingUpdate, type UpdateMoment, type UpdateOptions } from './training-update.ts';

export interface TrainingStepOptions extends GradientOptions, Omit<UpdateOptions, 'network'> {
  /** k: weights are updated with the mean gradient of k batches, at every k-th; default 1. */
  readonly accumulate?: number;
}

interface StepMoment extends UpdateMoment {
  /** With `accumulate`: whether this batch is the last of its update. Default true. */
  readonly updates?: boolean;
}

/** A function and what to compile it with. */
export interface HalfStep {
  readonly fn: TensorFunction;
  signature(weights: NamedArrays, slots: NamedArrays): Signature;
}

export interface TrainingStep {
  /**
   * Inputs `images` [B, H, W, 3] or `features` [B, H′, W′, C], `labels` int32 [B], the optimiser's scalars under `scalarInput(name)`, and where they are
   * asked for those of `penaltyInput`, `mixedInputs`, `depthInput`, `averageInput` and `updateInput`.
   * Returns `loss` (scalar: the network's, mean over the batch, before the update), `correct` (int32 scalar: how many labels are the largest
   * logit), with a penalty `penalty` (scalar: mean |W|, not yet times λ), and all parameters, statistics and slots under their own names.
   */
  readonly fn: TensorFunction;
  /** What to compile it with: all weights of the network and all slots by name. */
  signature(weights: NamedArrays, slots: NamedArrays): Signature;
  /** What is carried beside the weights, at the start: the optimiser's slots, averages, sums of gradients. */
  firstSlots(weights: NamedArrays): NamedArrays;
  /** The scalars of one step as inputs. */
  scalars(moment: StepMoment): NamedArrays;
  /**
   * The first half: parameters and statistics are inputs, `gradientOutput(name)` and `statisticOutput(name)` results beside `loss`, `correct` and `penalty`. No
   * slots, no scalars, no sum over batches: whoever takes the gradients adds them up.
   */
  readonly gradient: HalfStep;
  /** The second half: inputs are the scalars, `gradientOutput(name)` and `statisticOutput(name)`; parameters, statistics and slots are carried. */
  readonly update: HalfStep;
}

/** float32 scalar: 1 where the step ends an update, else 0. */
export const updateInput = 'accumulate/updates';

/** `gradientOutput('fc.weight')` is `fc.weight#gradient`. */
export function gradientOutput(weight: string): string {
  return slotName(weight, 'gradient');
}

/** The carried sum of a weight's gradients within an update: `sumSlot('fc.weight')` is `fc.weight#sum`. */
export function sumSlot(weight: string): string {
  return slotName(weight, 'sum');
}

/** `statisticOutput('bn1.running_mean')` is `bn1.running_mean#new`. */
export function statisticOutput(weight: string): string {
  return slotName(weight, 'new');
}

/** @throws CodaError as `trainingGradient` does. */
export function trainingStep({ accumulate = 1, ...options }: TrainingStepOptions): TrainingStep {
  const { network } = options;
  const gradient = trainingGradient(options);
  const update = trainingUpdate(options);
  const { parameterNames, statisticNames } = gradient;

  /** A statistic that the forward pass leaves alone is what it was. */
  const withStatistics = (outputs: NamedTensors, tensors: NamedTensors): NamedTensors => ({
    ...Object.fromEntries(statisticNames.map((name) => [name, tensors[name] as tf.Tensor])),
    ...outputs,
  });
  const fn: TensorFunction = (tensors) => {
    const { gradients, outputs } = gradient.compute(tensors);
    const kept = withStatistics(outputs, tensors);
    if (accumulate === 1) return { ...kept, ...update.apply(gradients, { ...tensors, ...outputs }) };
    const total = sums(gradients, tensors, accumulate);
    const updated = update.apply(total, { ...tensors, ...outputs });
    const updates = tf.greater(tensors[updateInput] as tf.Scalar, 0.5);
    const chosen = (yes: tf.Tensor, no: tf.Tensor): tf.Tensor => tf.where(updates, yes, no);
    return {
      ...kept,
      ...mapped(updated, (next, name) => chosen(next, tensors[name] as tf.Tensor)),
      ...Object.fromEntries(Object.entries(total).map(([name, sum]) => [sumSlot(name), chosen(tf.zerosLike(sum), sum)])),
    };
  };

  const entriesOf = (weights: NamedArrays): (readonly [string, NdArray])[] =>
    Object.keys(network.weights).map((name) => [name, weights[name] as NdArray]);
  const isFrozen = (name: string): boolean => network.weights[name]?.role === 'frozen';
  const constantsOf = (weights: NamedArrays): NamedArrays =>
    options.input === 'features' ? {} : Object.fromEntries(entriesOf(weights).filter(([name]) => isFrozen(name)));
  const carriedOf = (weights: NamedArrays): NamedArrays => Object.fromEntries(entriesOf(weights).filter(([name]) => !isFrozen(name)));
  const specsOf = (names: readonly string[], called: (name: string) => string): Record<string, ArraySpec> =>
    Object.fromEntries(names.map((name) => [called(name), { shape: network.weights[name]?.shape as number[], dtype: 'float32' }]));

  return {
    fn,
    signature: (weights, slots) => ({
      inputs: {
        ...gradient.inputs,
        ...update.inputs,
        ...(accumulate === 1 ? {} : { [updateInput]: { shape: [], dtype: 'float32' as const } }),
      },
      constants: constantsOf(weights),
      carried: { ...carriedOf(weights), ...slots },
    }),
    firstSlots: (weights) => ({
      ...update.firstSlots(weights),
      ...(accumulate === 1
        ? {}
        : Object.fromEntries(
            parameterNames.map((name) => [sumSlot(name), zerosArray('float32', network.weights[name]?.shape as number[])]),
          )),
    }),
    scalars: ({ updates = true, ...moment }) => ({
      ...update.scalars(moment),
      ...(accumulate === 1 ? {} : { [updateInput]: ndArray('float32', [], Float32Array.of(updates ? 1 : 0)) }),
    }),
    gradient: {
      fn: (tensors) => {
        const { gradients, outputs } = gradient.compute(tensors);
        const all = withStatistics(outputs, tensors);
        const renamed = Object.entries(all).map(([name, x]) => [statisticNames.includes(name) ? statisticOutput(name) : name, x]);
        const named = Object.entries(gradients).map(([name, g]) => [gradientOutput(name), g]);
        return Object.fromEntries([...renamed, ...named]) as NamedTensors;
      },
      signature: (weights) => ({
        inputs: { ...gradient.inputs, ...specsOf([...parameterNames, ...statisticNames], (name) => name) },
        constants: constantsOf(weights),
      }),
    },
    update: {
      fn: (tensors) => {
        const gradients = Object.fromEntries(parameterNames.map((name) => [name, tensors[gradientOutput(name)] as tf.Tensor]));
        const statistics = Object.fromEntries(statisticNames.map((name) => [name, tensors[statisticOutput(name)] as tf.Tensor]));
        return { ...statistics, ...update.apply(gradients, { ...tensors, ...statistics }) };
      },
      signature: (weights, slots) => ({
        inputs: { ...update.inputs, ...specsOf(parameterNames, gradientOutput), ...specsOf(statisticNames, statisticOutput) },
        carried: { ...carriedOf(weights), ...slots },
      }),
    },
  };
}

/** s + g / k: after k batches the mean of their gradients, which is the gradient of the mean of their losses. */
function sums(gradients: NamedTensors, tensors: NamedTensors, batches: number): NamedTensors {
  return mapped(gradients, (g, name) => tf.add(tensors[sumSlot(name)] as tf.Tensor, tf.div(g, batches)));
}

function mapped(tensors: NamedTensors, fn: (x: tf.Tensor, name: string) => tf.Tensor): NamedTensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, x]) => [name, fn(x, name)]));
}
