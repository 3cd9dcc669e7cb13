/** A function of float32 arrays on the compiled engine against eager TensorFlow.js on the cpu backend, the gradient by every input included. */
import { ndArray, Random, type ArraySpec, type Engine, type NamedArrays, type NamedTensors, type TensorFunction } from '@coda-nets/core';
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import { expectClose } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/** Sums of a few hundred float32 products, in another order. */
const TOLERANCE = { rtol: 1e-5, atol: 1e-6, relativeTo: 'largest' } as const;

export interface Case {
  readonly fn: (t: Record<string, tf.Tensor>) => tf.Tensor | Record<string, tf.Tensor>;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** Range of the inputs; default −2 … 2. */
  readonly from?: number;
  readonly to?: number;
  readonly gradient?: false;
}

const seedOf = (name: string): Random => Random.seeded(7).split(name);

function inputsOf(name: string, { shapes, from = -2, to = 2 }: Case): NamedArrays {
  const random = seedOf(name);
  return Object.fromEntries(
    Object.entries(shapes).map(([key, shape]) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const data = Float32Array.from({ length: size }, () => from + (to - from) * random.uniform());
      return [key, ndArray('float32', shape, data)];
    }),
  );
}

/** The results, and the gradient of Σ result² by every input. */
export function withGradient({ fn, gradient }: Case, keys: readonly string[]): TensorFunction {
  const results = (t: NamedTensors): Record<string, tf.Tensor> => {
    const r = fn({ ...t });
    return r instanceof tf.Tensor ? { result: r } : r;
  };
  return (t) => {
    const values = results(t);
    if (gradient === false) return values;
    const objective = (...args: tf.Tensor[]): tf.Tensor => {
      const again = results(Object.fromEntries(keys.map((key, i) => [key, args[i] as tf.Tensor])));
      return tf.addN(Object.values(again).map((r) => tf.sum(tf.square(r))));
    };
    const grads = tf.grads(objective)(keys.map((key) => t[key] as tf.Tensor));
    return { ...values, ...Object.fromEntries(keys.map((key, i) => [`d/d${key}`, grads[i] as tf.Tensor])) };
  };
}

export const specsOf = ({ shapes }: Case): Record<string, ArraySpec> =>
  Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [key, { shape: [...shape], dtype: 'float32' as const }]));

export async function expectCompiledEqualsEager(
  name: string,
  test: Case,
  { tolerance = TOLERANCE, engine }: { tolerance?: Parameters<typeof expectClose>[2]; engine?: Engine } = {},
): Promise<void> {
  const inputs = inputsOf(name, test);
  const specs = specsOf(test);
  const fn = withGradient(test, Object.keys(inputs));
  const eager = await eagerEngine({ name: 'cpu', backend: 'cpu', description: '' }).compile(fn, { inputs: specs });
  const expected = await eager.run(inputs);
  const compiled = await (engine ?? (await onnxRuntimeEngine({ threads: 1 }))).compile(fn, { inputs: specs });
  const actual = await compiled.run(inputs);
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  for (const [key, array] of Object.entries(expected)) {
    expect(actual[key]?.shape).toEqual(array.shape);
    expectClose(actual[key]?.data as Float32Array, array.data as Float32Array, tolerance);
  }
  await compiled.dispose();
}
