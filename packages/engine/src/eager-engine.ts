/** Runs a function call by call on a TensorFlow.js backend: slower than compiled, there everywhere, and the yardstick of the compiled engine. */
import {
  CodaError,
  ndArray,
  type ArraySpec,
  type Compiled,
  type DType,
  type Engine,
  type NamedArrays,
  type NdArray,
  type Signature,
  type TensorFunction,
} from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { checkInputs } from './check-inputs.ts';

export interface EagerOptions {
  readonly name: Exclude<Engine['name'], 'onnxruntime'>;
  /** A registered and initialised tfjs backend. */
  readonly backend: string;
  readonly description: string;
  /** Whether the backend gives values without waiting. Default true. */
  readonly readsBetweenKernels?: boolean;
}

export function eagerEngine({ name, backend, description, readsBetweenKernels = true }: EagerOptions): Engine {
  return { name, description, readsBetweenKernels, compile: async (fn, signature) => eager(backend, fn, signature) };
}

function eager(backend: string, fn: TensorFunction, signature: Signature): Compiled {
  const place = (arrays: NamedArrays): Record<string, tf.Tensor> =>
    Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, toTensor(array)]));
  const carriedNames = Object.keys(signature.carried ?? {});
  let constants: Record<string, tf.Tensor> = {};
  let carried: Record<string, tf.Tensor> = {};
  let placed = false;
  let busy: Promise<unknown> = Promise.resolve();

  /** The tfjs backend is a global: it is chosen anew for each stretch of synchronous work, and put back. */
  const onBackend = <T>(work: () => T): T => {
    const previous = tf.getBackend();
    void tf.setBackend(backend);
    try {
      if (!placed) {
        constants = place(signature.constants ?? {});
        carried = place(signature.carried ?? {});
        placed = true;
      }
      return work();
    } finally {
      if (previous && previous !== backend) void tf.setBackend(previous);
    }
  };

  const call = async (inputs: NamedArrays): Promise<NamedArrays> => {
    checkInputs(inputs, signature.inputs as Readonly<Record<string, ArraySpec>>);
    const results = onBackend(() => {
      const feeds = place(inputs);
      try {
        // clones: a function may hand on what it was given, or one tensor under two names
        return tf.tidy(() =>
          Object.fromEntries(Object.entries(fn({ ...constants, ...carried, ...feeds })).map(([name, y]) => [name, tf.clone(y)])),
        );
      } finally {
        tf.dispose(feeds);
      }
    });
    const missing = carriedNames.filter((name) => !(name in results));
    if (missing.length > 0) {
      throw new CodaError({ kind: 'argument', where: 'run', problem: `carried values are not returned: ${missing.join(', ')}` });
    }
    const outputs = Object.entries(results).filter(([name]) => !carriedNames.includes(name));
    const arrays = await Promise.all(outputs.map(async ([name, tensor]) => [name, await toArray(tensor)] as const));
    tf.dispose(outputs.map(([, tensor]) => tensor));
    for (const name of carriedNames) {
      const next = results[name] as tf.Tensor;
      carried[name]?.dispose();
      carried[name] = next;
    }
    return Object.fromEntries(arrays);
  };
  return {
    run: (inputs) => {
      const result = busy.then(() => call(inputs));
      busy = result.catch(() => undefined);
      return result;
    },
    carried: async () => {
      await busy;
      onBackend(() => undefined);
      const arrays = carriedNames.map(async (name) => [name, await toArray(carried[name] as tf.Tensor)] as const);
      return Object.fromEntries(await Promise.all(arrays));
    },
    dispose: async () => {
      await busy;
      tf.dispose([Object.values(constants), Object.values(carried)]);
      constants = {};
      carried = {};
    },
  };
}

function toTensor({ data, shape, dtype }: NdArray): tf.Tensor {
  if (dtype === 'float32') return tf.tensor(data as Float32Array, [...shape], 'float32');
  if (dtype === 'bool') return tf.tensor(data as Uint8Array, [...shape], 'bool');
  // tfjs has one integer type
  return tf.tensor(Int32Array.from(data as Int32Array, Number), [...shape], 'int32');
}

/** A copy: some backends answer with their own memory. */
async function toArray(tensor: tf.Tensor): Promise<NdArray> {
  const data = (await tensor.data()) as Float32Array;
  return ndArray(tensor.dtype as DType, tensor.shape, data.slice());
}
