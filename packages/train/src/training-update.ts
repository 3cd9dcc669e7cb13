/**
 * The second half of a training step as one pure function: gradients → clipped → optimiser → average. Where the gradients come from (one batch, several,
 * several processes) is not known here.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { ndArray, type ArraySpec, type NamedArrays, type NamedTensors, type Network } from '@coda-nets/core';
import { clipGradients, type ClipConfig } from './clip-gradients.ts';
import { initialSlots, type Optimiser } from './optimisers.ts';
import { averageDecay, averaged, averageSlot, firstAverages, type AverageConfig } from './weight-average.ts';

export interface UpdateOptions {
  readonly network: Pick<Network, 'weights'>;
  readonly optimiser: Optimiser;
  readonly clip?: ClipConfig | undefined;
  /** Keeps the moving average of weights and statistics beside them. */
  readonly average?: AverageConfig | undefined;
}

export interface UpdateMoment {
  /** η */
  readonly learningRate: number;
  /** t: 1 at the first update. */
  readonly step: number;
}

/** The input that holds the optimiser's scalar `name`. */
export function scalarInput(name: string): string {
  return `optimiser/${name}`;
}

/** The input that holds d_t. */
export const averageInput = 'average/decay';

export interface TrainingUpdate {
  /** The optimiser's scalars under `scalarInput(name)`, with an average its decay. */
  readonly inputs: Readonly<Record<string, ArraySpec>>;
  /** Those inputs for one update. */
  scalars(moment: UpdateMoment): NamedArrays;
  /** What is carried beside the weights, at the start. */
  firstSlots(weights: NamedArrays): NamedArrays;
  /** `gradients` by parameter; `tensors`: weights, slots and inputs, with the statistics as they are after the step. New parameters and slots by name. */
  apply(gradients: NamedTensors, tensors: NamedTensors): NamedTensors;
}

export function trainingUpdate({ network, optimiser, clip, average }: UpdateOptions): TrainingUpdate {
  const namesOf = (...roles: readonly string[]): string[] =>
    Object.keys(network.weights).filter((name) => roles.includes(network.weights[name]?.role as string));
  const parameterNames = namesOf('parameter');
  const averagedNames = namesOf('parameter', 'statistic');
  const scalarNames = [...optimiser.scalarNames.map(scalarInput), ...(average === undefined ? [] : [averageInput])];
  const pick = (tensors: NamedTensors, names: readonly string[]): NamedTensors =>
    Object.fromEntries(names.map((name) => [name, tensors[name] as tf.Tensor]));
  return {
    inputs: Object.fromEntries(scalarNames.map((name) => [name, { shape: [], dtype: 'float32' }])),
    scalars: (moment) => {
      const values = Object.entries(optimiser.scalars(moment)).map(([name, value]) => [scalarInput(name), value] as const);
      if (average !== undefined) values.push([averageInput, averageDecay(average, moment.step)]);
      return Object.fromEntries(values.map(([name, value]) => [name, ndArray('float32', [], Float32Array.of(value))]));
    },
    firstSlots: (weights) => ({
      ...initialSlots(optimiser, network.weights),
      ...(average === undefined ? {} : firstAverages(weights, averagedNames)),
    }),
    apply: (gradients, tensors) => {
      const parameters = pick(tensors, parameterNames);
      const clipped = clip === undefined ? gradients : clipGradients(clip, parameters, gradients, network.weights);
      const scalars = Object.fromEntries(optimiser.scalarNames.map((name) => [name, tensors[scalarInput(name)] as tf.Tensor]));
      const updated = optimiser.apply(parameters, clipped, tensors, scalars);
      const next = { ...updated.parameters, ...updated.slots };
      if (average === undefined) return next;
      const weights = pick({ ...tensors, ...updated.parameters }, averagedNames);
      const averages = pick(tensors, averagedNames.map(averageSlot));
      return { ...next, ...averaged(weights, averages, tensors[averageInput] as tf.Tensor) };
    },
  };
}
