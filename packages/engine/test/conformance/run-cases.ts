/** Runs conformance cases eagerly and compiled, many in one graph: opening a session takes longer than running it. */
import { ndArray, Random, type ArraySpec, type Engine, type NamedArrays, type NamedTensors, type NdArray } from '@coda-nets/core';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { expectClose } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { describeCase, disguise, type Case, type InputSpec } from './operation.ts';

/** Sums of a few hundred float32 products, in another order, squared. */
const TOLERANCE = { rtol: 2e-5, atol: 2e-6, relativeTo: 'largest' } as const;

export interface Placed {
  readonly inputs: NamedArrays;
  readonly run: (t: NamedTensors) => Record<string, tf.Tensor>;
}

/** Throws where a number, a shape or a dtype differs, and names the case. `engine`: what compiles, ONNX Runtime as it is where not given. */
export async function runCases(cases: readonly Case[], engine?: Pick<Engine, 'compile'>): Promise<void> {
  const placed = cases.map((c, i) => place(c, `${i}/`));
  const inputs = Object.assign({}, ...placed.map((p) => p.inputs)) as Record<string, NdArray>;
  const all = (t: NamedTensors): NamedTensors => Object.assign({}, ...placed.map(({ run }) => run(t))) as NamedTensors;
  const expected = eagerly(all, inputs);
  const compiled = await (engine ?? (await onnxRuntimeEngine({ threads: 1 }))).compile(all, { inputs: specsOf(inputs) });
  const actual = await compiled.run(inputs);
  await compiled.dispose();
  for (const [name, { dtype, shape, data }] of Object.entries(expected)) {
    const c = cases[Number.parseInt(name, 10)] as Case;
    const result = actual[name] as NdArray;
    const where = `${name} of ${describeCase(c.name, c, c.seed, c.guises)}`;
    if (result.dtype !== dtype || result.shape.join() !== shape.join()) {
      throw new Error(`${where}: ${result.dtype} [${result.shape.join()}] instead of ${dtype} [${shape.join()}]`);
    }
    try {
      expectClose(result.data as Float32Array, data as Float32Array, dtype === 'float32' ? TOLERANCE : {});
    } catch (error) {
      throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
    }
  }
}

export function specsOf(inputs: NamedArrays): Record<string, ArraySpec> {
  return Object.fromEntries(Object.entries(inputs).map(([name, { shape, dtype }]) => [name, { shape: [...shape], dtype } as ArraySpec]));
}

function eagerly(fn: (t: NamedTensors) => NamedTensors, inputs: NamedArrays): NamedArrays {
  tf.engine().startScope('conformance');
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, a]) => [name, tf.tensor(a.data as Float32Array, [...a.shape], a.dtype as 'float32')]),
  );
  const results = Object.fromEntries(
    Object.entries(fn(feeds)).map(([name, y]) => [name, ndArray(y.dtype as 'float32', y.shape, (y.dataSync() as Float32Array).slice())]),
  );
  tf.engine().endScope();
  return results;
}

/** Inputs and outputs of a case under names that begin with `prefix`, gradients of Σ result² among them. */
export function place({ inputs, run, gradient, seed, guises, name }: Case, prefix: string): Placed {
  const random = Random.seeded(seed).split(name);
  const entries = Object.entries(inputs).map(([key, spec], i) => {
    const { shape, undo } = disguise(spec, guises[i] ?? 0, random);
    return { key, spec, undo, array: valuesOf(spec, shape, random) };
  });
  const keys = entries.filter(({ spec }) => (spec.dtype ?? 'float32') === 'float32' && spec.gradient !== false).map(({ key }) => key);
  const results = (t: Record<string, tf.Tensor>): tf.Tensor[] => {
    const y = run(Object.fromEntries(entries.map(({ key, undo }) => [key, undo(t[key] as tf.Tensor)])));
    return y instanceof tf.Tensor ? [y] : [...y];
  };
  return {
    inputs: Object.fromEntries(entries.map(({ key, array }) => [prefix + key, array])),
    run: (all) => {
      const t = Object.fromEntries(entries.map(({ key }) => [key, all[prefix + key] as tf.Tensor]));
      const outputs = Object.fromEntries(results(t).map((y, i) => [`${prefix}result ${i}`, y]));
      if (!gradient || keys.length === 0) return outputs;
      const objective = (...args: tf.Tensor[]): tf.Tensor => {
        const floats = results({ ...t, ...Object.fromEntries(keys.map((key, i) => [key, args[i] as tf.Tensor])) });
        return tf.addN(floats.filter((y) => y.dtype === 'float32').map((y) => tf.sum(tf.square(y))));
      };
      const grads = tf.grads(objective)(keys.map((key) => t[key] as tf.Tensor));
      return { ...outputs, ...Object.fromEntries(keys.map((key, i) => [`${prefix}d/d${key}`, grads[i] as tf.Tensor])) };
    },
  };
}

function valuesOf({ dtype = 'float32', from, to, repeats }: InputSpec, shape: readonly number[], random: Random): NdArray {
  const size = shape.reduce((a, b) => a * b, 1);
  if (dtype === 'bool')
    return ndArray(
      'bool',
      shape,
      Uint8Array.from({ length: size }, () => random.below(2)),
    );
  if (dtype === 'float32') {
    const [low, high] = [from ?? -2, to ?? 2];
    return ndArray(
      'float32',
      shape,
      Float32Array.from({ length: size }, () => low + (high - low) * random.uniform()),
    );
  }
  const [low, high] = [from ?? -4, to ?? 5];
  const left = Array.from({ length: high - low }, (_, i) => low + i);
  const draw = () => (repeats === false ? (left.splice(random.below(left.length), 1)[0] as number) : low + random.below(high - low));
  return ndArray('int32', shape, Int32Array.from({ length: size }, draw));
}
