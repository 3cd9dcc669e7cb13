/** Vectors with which the same is to be done, as one vector, where the backend wants that (`joinVectorsKernel`). Elementwise work alone may be done so. */
import * as tf from '@tensorflow/tfjs-core';
import { joinVectorsKernel, type NamedTensors } from '@coda-nets/core';

/** Tensors by name that are worked on together: one of any shape, or several vectors. */
export interface JoinedVectors {
  /** Of one of the names: what is the same for all. */
  readonly first: string;
  /** Those tensors as one; `called` says what they are called in `tensors`. */
  join(tensors: NamedTensors, called?: (name: string) => string): tf.Tensor;
  /** What became of it, by name. */
  split(joined: tf.Tensor): NamedTensors;
}

/** All of `parameters`: vectors of one `kind` together where the backend wants that and `joins`, every other by itself. */
export function joinedVectors(parameters: NamedTensors, joins: boolean, kind: (name: string) => string): readonly JoinedVectors[] {
  const wanted = joins && tf.getKernel(joinVectorsKernel, tf.getBackend()) !== undefined;
  const groups = new Map<string, [string, ...string[]]>();
  for (const [name, { rank }] of Object.entries(parameters)) {
    const key = wanted && rank === 1 ? `vectors ${kind(name)}` : `one ${name}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [name]);
    else group.push(name);
  }
  return [...groups.values()].map((names) => {
    const [first] = names;
    if (names.length === 1)
      return { first, join: (tensors, called = same) => tensors[called(first)] as tf.Tensor, split: (x) => ({ [first]: x }) };
    const sizes = names.map((name) => (parameters[name] as tf.Tensor).size);
    return {
      first,
      join: (tensors, called = same) =>
        tf
          .engine()
          .runKernel(
            joinVectorsKernel,
            Object.fromEntries(names.map((name, i) => [`v${i}`, tensors[called(name)] as tf.Tensor])),
          ) as tf.Tensor,
      split: (joined) => Object.fromEntries(tf.split(joined, sizes).map((part, i) => [names[i] as string, part])),
    };
  });
}

const same = (name: string): string => name;
