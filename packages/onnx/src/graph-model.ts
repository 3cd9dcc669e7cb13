/** A `tf.GraphModel` (a converted TensorFlow graph) as a function that can be traced. An entry of its own: who has no such model does not load it. */
import { CodaError } from '@coda-nets/core';
import type { GraphModel } from '@tensorflow/tfjs-converter';
import { distinctNames, inputSpecs, type ModelFunction, type ModelFunctionOptions } from './model-function.ts';

export type { ModelFunction, ModelFunctionOptions } from './model-function.ts';

/**
 * The model as `execute` runs it. Inputs and outputs have the names of the model's signature, weights those of their nodes.
 *
 * When it is traced, a CodaError refuses what a graph of fixed operations cannot do: control flow, sizes that depend on values, strings.
 */
export function graphModelFunction(model: GraphModel, options: ModelFunctionOptions = {}): ModelFunction {
  const where = 'model';
  const inputNames = model.inputNodes;
  const declared = model.inputs.map(({ shape, dtype }, i) => ({ name: inputNames[i] as string, shape, dtype }));
  const inputs = inputSpecs(where, declared, options);
  const outputNames = distinctNames(model.outputNodes, inputNames);
  const weights = Object.entries(model.weights).flatMap(([name, tensors]) => tensors.map((tensor) => ({ name, tensor })));
  const weightNames = distinctNames(
    weights.map(({ name }) => name),
    [...inputNames, ...outputNames],
  );
  return {
    fn: (tensors) => {
      const result = executed(where, model, tensors);
      return Object.fromEntries(outputNames.map((name, i) => [name, result[i] as (typeof result)[number]]));
    },
    signature: { inputs },
    names: new Map(weights.map(({ tensor }, i) => [tensor, weightNames[i] as string])),
  };
}

function executed(where: string, model: GraphModel, tensors: Parameters<GraphModel['execute']>[0]) {
  try {
    const result = model.execute(tensors, [...model.outputNodes]);
    return Array.isArray(result) ? result : [result];
  } catch (cause) {
    const [, node, op] =
      /contains the node '(.*)', which has the dynamic op '(\w+)'/.exec(cause instanceof Error ? cause.message : '') ?? [];
    if (op === undefined) throw cause;
    throw new CodaError({
      kind: 'unsupported',
      where: `${where}: node "${node}"`,
      problem: `${op} is control flow, or its size depends on values: no graph of fixed operations`,
      hint: 'Export the part of the model before it.',
      cause,
    });
  }
}
