/** Calls any operation of TensorFlow by its name, through the backend of tfjs-node(-gpu) as it is. Attributes: https://www.tensorflow.org/api_docs/cc. */
import type * as tf from '@tensorflow/tfjs-core';

/** The part of the package's backend that this needs. */
export interface NodeBackend extends tf.KernelBackend {
  readonly binding: Readonly<
    Record<'TF_ATTR_TYPE' | 'TF_ATTR_INT' | 'TF_ATTR_FLOAT' | 'TF_ATTR_BOOL' | 'TF_ATTR_STRING' | 'TF_FLOAT' | 'TF_INT32', number>
  >;
  executeMultipleOutputs(name: string, attributes: readonly object[], inputs: readonly tf.TensorInfo[], outputs: number): tf.Tensor[];
}

/** What an attribute is, is told by its value: words are strings, lists are of integers. A number is wrapped in what it is. */
export type Attribute =
  | string
  | boolean
  | readonly number[]
  | { readonly float: number }
  | { readonly count: number }
  | { readonly type: 'float32' | 'int32' };

export function tensorFlowOp(
  backend: NodeBackend,
  name: string,
  inputs: readonly tf.TensorInfo[],
  attributes: Readonly<Record<string, Attribute>>,
  outputs = 1,
): tf.Tensor[] {
  const { binding } = backend;
  const typed = Object.entries(attributes).map(([key, value]) => {
    if (typeof value === 'string') return { name: key, type: binding.TF_ATTR_STRING, value };
    if (typeof value === 'boolean') return { name: key, type: binding.TF_ATTR_BOOL, value };
    if ('float' in value) return { name: key, type: binding.TF_ATTR_FLOAT, value: value.float };
    if ('count' in value) return { name: key, type: binding.TF_ATTR_INT, value: value.count };
    if ('type' in value)
      return { name: key, type: binding.TF_ATTR_TYPE, value: value.type === 'int32' ? binding.TF_INT32 : binding.TF_FLOAT };
    return { name: key, type: binding.TF_ATTR_INT, value };
  });
  return backend.executeMultipleOutputs(name, typed, inputs, outputs);
}

export const FLOAT: Attribute = { type: 'float32' };
