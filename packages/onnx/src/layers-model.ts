/** A `tf.LayersModel`, sequential or functional, as a function that can be traced. An entry of its own: who does not use tf.layers does not load it. */
import { CodaError } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { distinctNames, inputSpecs, type ModelFunction, type ModelFunctionOptions } from './model-function.ts';

export type { ModelFunction, ModelFunctionOptions } from './model-function.ts';

/**
 * The model as it predicts: without dropout, with the stored statistics of batch norm. Inputs have the names of the input layers, outputs those of the
 * output layers, weights the names they are saved under. Throws a CodaError for a model that is not built, and one that keeps a state between calls.
 */
export function layersModelFunction(model: LayersModel, options: ModelFunctionOptions = {}): ModelFunction {
  const where = `model "${model.name}"`;
  if (model.inputs === undefined || model.inputs.length === 0) {
    throw new CodaError({
      kind: 'argument',
      where,
      problem: 'the model has no inputs yet',
      hint: 'Give its first layer an inputShape, or call build.',
    });
  }
  // a sequential model that has not run yet
  if (!model.built) model.build(model.inputs.map(({ shape }) => shape));
  if (model.stateful) {
    throw new CodaError({
      kind: 'unsupported',
      where,
      problem: 'a layer keeps a state between calls, which a graph does not',
      expected: 'stateful: false',
    });
  }
  const { inputNames } = model;
  const declared = model.inputs.map(({ shape, dtype }, i) => ({ name: inputNames[i] as string, shape, dtype }));
  const inputs = inputSpecs(where, declared, options);
  const outputNames = distinctNames(model.outputNames, inputNames);
  const weightNames = distinctNames(
    model.weights.map(({ originalName }) => originalName),
    [...inputNames, ...outputNames],
  );
  return {
    fn: (tensors) => {
      const result = model.apply(
        inputNames.map((name) => tensors[name] as tf.Tensor),
        { training: false },
      ) as tf.Tensor | tf.Tensor[];
      const results = Array.isArray(result) ? result : [result];
      return Object.fromEntries(outputNames.map((name, i) => [name, results[i] as tf.Tensor]));
    },
    signature: { inputs },
    names: new Map(model.weights.map((weight, i) => [weight.read(), weightNames[i] as string])),
  };
}
