/**
 * The network above one tap as a function of that tap's activation, compiled: what perturbations and paths are asked of. The image below is
 * gone: the forward pass runs on a black one, and at the tap goes on with the activation given (a compiled engine drops what that leaves unused).
 */
import { CodaError, ndArray, oneHot, sizeOf } from '@coda-nets/core';
import type { ArraySpec, Compiled, Engine, Locality, NamedArrays, NamedTensors, NdArray, Network } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { checkTaps } from './pass-at-taps.ts';
import { rowsWithin } from './memory-budget.ts';

export interface Above {
  /** activation [M, h, w, C] → [M, classes] */
  logits(activation: tf.Tensor4D): tf.Tensor2D;
  /** The network's: [M, classes] → [M, classes]. */
  probabilities(logits: tf.Tensor2D): tf.Tensor2D;
}
/** Made of tfjs ops; inputs and results have the same number of rows, and each row depends on its own alone. */
export type AboveFunction = (above: Above, inputs: NamedTensors) => NamedTensors;

export interface TapModel {
  readonly tap: string;
  readonly classes: number;
  /** Rows in one call of the engine, which bounds memory; no result depends on it. */
  readonly chunk: number;
  /** images [N, H, W, 3] → what the tap passes on, [N, h, w, C]. */
  activations(images: NdArray<'float32'>): Promise<NdArray<'float32'>>;
  /** Any function of the network above the tap; compiled once for each `fn`, run in chunks of rows. */
  run(fn: AboveFunction, inputs: NamedArrays): Promise<NamedArrays>;
  /** What a change at the tap can reach, where the logits are sums of what lies near each place. */
  readonly locality: Locality | undefined;
  /** The same network for maps of the tap of another size [h, w]: parts of them. It is disposed of with this one. */
  resized(size: readonly [number, number]): TapModel;
  /** To be told, by what asks many times, the share of it that is done. */
  readonly onShare?: ((share: number) => void) | undefined;
  dispose(): Promise<void>;
}

export interface TapModelOptions {
  readonly engine: Engine;
  readonly network: Network;
  readonly weights: NamedArrays;
  readonly tap: string;
  /** Default: what `rowsWithin` allows. */
  readonly chunk?: number;
  /** [H, W] of the images; default the network's own. */
  readonly imageSize?: readonly [number, number];
  /** Ends the work between two calls of the engine, by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Of what asks the model many times (a method, pixel removal): told after each call of the engine the share that is done, up to 1. */
  readonly onShare?: ((share: number) => void) | undefined;
}

/** What a perturbation is judged by: z_c, or the network's probability of c. */
export type ScoreKind = 'logit' | 'probability';

/** activation [M, h, w, C] → `logit` and `probability` of every class, [M, classes]. */
export const scores: AboveFunction = (above, { activation }) => {
  const logits = above.logits(activation as tf.Tensor4D);
  return { logit: logits, probability: above.probabilities(logits) };
};

/** activation [M, h, w, C], target int32 [M] → `gradient` ∂z_target/∂activation of the activation's shape. */
export const gradients: AboveFunction = (above, { activation, target }) => {
  const score = (a: tf.Tensor): tf.Tensor => {
    const logits = above.logits(a as tf.Tensor4D);
    return tf.sum(tf.mul(logits, oneHot(target as tf.Tensor1D, logits.shape[1])));
  };
  return { gradient: tf.grad(score)(activation as tf.Tensor) };
};

/** Compiles nothing until it is asked. `dispose` it when done. */
export function tapModel(options: TapModelOptions): TapModel {
  const { engine, network, weights, tap, imageSize = [network.inputShape[0], network.inputShape[1]], signal, onShare } = options;
  const { chunk = rowsWithin({ network, imageSize }) } = options;
  checkTaps('tapModel', network, [tap]);
  const { stride } = network.taps.find(({ name }) => name === tap) as Network['taps'][number];
  const { dynamicLinear } = network;
  const others = new Map<string, TapModel>();
  const constants = Object.fromEntries(Object.entries(weights).map(([name, array]) => [`weight:${name}`, array]));
  const weightsOf = (tensors: NamedTensors): NamedTensors =>
    Object.fromEntries(Object.keys(weights).map((name) => [name, tensors[`weight:${name}`] as tf.Tensor]));
  const compiled = new Map<AboveFunction | 'below', Promise<Compiled>>();

  const compileOnce = (
    key: AboveFunction | 'below',
    fn: (tensors: NamedTensors) => NamedTensors,
    inputs: NamedArrays,
  ): Promise<Compiled> => {
    const known = compiled.get(key);
    if (known !== undefined) return known;
    const specs = Object.entries(inputs).map(([name, { dtype, shape }]): [string, ArraySpec] => [
      name,
      { shape: ['batch', ...shape.slice(1)], dtype: dtype as ArraySpec['dtype'] },
    ]);
    const made = engine.compile(fn, { inputs: Object.fromEntries(specs), constants });
    compiled.set(key, made);
    return made;
  };
  return {
    tap,
    classes: network.classes,
    chunk,
    onShare,
    activations: async (images) => {
      const below = (tensors: NamedTensors): NamedTensors => {
        let activation: tf.Tensor | undefined;
        const record = <T extends tf.Tensor>(name: string, x: T): T => {
          if (name === tap) activation = tf.clone(x);
          return x;
        };
        network.forward(weightsOf(tensors), tensors['image'] as tf.Tensor4D, { training: false, tap: record });
        return { activation: activation as tf.Tensor };
      };
      const { activation } = await inChunks(
        'tapModel',
        await compileOnce('below', below, { image: images }),
        { image: images },
        { chunk, signal },
      );
      return activation as NdArray<'float32'>;
    },
    run: async (fn, inputs) => {
      const onTensors = (tensors: NamedTensors): NamedTensors => {
        const above: Above = {
          logits: (activation) => {
            const black = tf.zeros<tf.Rank.R4>([activation.shape[0], ...imageSize, 3]);
            const substitute = <T extends tf.Tensor>(name: string, x: T): T => (name === tap ? (activation as tf.Tensor as T) : x);
            return network.forward(weightsOf(tensors), black, { training: false, tap: substitute }).logits;
          },
          probabilities: (logits) => network.probabilities(logits),
        };
        return fn(above, tensors);
      };
      return inChunks('tapModel', await compileOnce(fn, onTensors, inputs), inputs, { chunk, signal });
    },
    locality: dynamicLinear?.taps.includes(tap) === true ? dynamicLinear.localityAt(tap) : undefined,
    resized: (size) => {
      const known = others.get(size.join());
      if (known !== undefined) return known;
      const made = tapModel({ ...options, imageSize: [size[0] * stride, size[1] * stride] });
      others.set(size.join(), made);
      return made;
    },
    dispose: async () => {
      for (const one of [...compiled.values(), ...others.values()]) await (await one).dispose();
      compiled.clear();
      others.clear();
    },
  };
}

/** Runs rows `chunk` at a time; outputs are joined along the first axis. */
export async function inChunks(
  caller: string,
  compiled: Compiled,
  inputs: NamedArrays,
  { chunk, signal }: { readonly chunk: number; readonly signal?: AbortSignal | undefined },
): Promise<NamedArrays> {
  if (!Number.isInteger(chunk) || chunk < 1) {
    throw new CodaError({
      kind: 'argument',
      where: `${caller}: chunk`,
      problem: 'not a number of rows',
      expected: 'an integer from 1',
      got: String(chunk),
    });
  }
  const rows = Object.values(inputs)[0]?.shape[0] ?? 0;
  const parts: NamedArrays[] = [];
  for (let start = 0; start < rows; start += chunk) {
    signal?.throwIfAborted();
    const end = Math.min(rows, start + chunk);
    const part = Object.entries(inputs).map(([name, array]) => [name, rowsOf(array, start, end)] as const);
    parts.push(await compiled.run(Object.fromEntries(part)));
  }
  const [first = {}] = parts;
  if (parts.length === 1) return first;
  return Object.fromEntries(Object.keys(first).map((name) => [name, joined(parts.map((part) => part[name] as NdArray<'float32'>))]));
}

/** Rows start … end − 1, copied. */
function rowsOf<D extends NdArray>(array: D, start: number, end: number): D {
  const shape = [end - start, ...array.shape.slice(1)];
  const size = sizeOf(shape.slice(1));
  return ndArray(array.dtype, shape, array.data.slice(start * size, end * size) as never) as D;
}

function joined(parts: readonly NdArray<'float32'>[]): NdArray<'float32'> {
  const [first] = parts;
  const rows = parts.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
  const shape = [rows, ...(first?.shape.slice(1) ?? [])];
  const data = new Float32Array(sizeOf(shape));
  let offset = 0;
  for (const part of parts) {
    data.set(part.data, offset);
    offset += part.data.length;
  }
  return ndArray('float32', shape, data);
}
