/**
 * Attribution maps of one method at any taps, on host arrays: compiled once with a dynamic batch, run in chunks. Formulas of activation and
 * gradient take all taps from one forward and one backward pass; other methods probe the network above each tap.
 */
import { CodaError, ndArray, sizeOf } from '@coda-nets/core';
import type { ArraySpec, Engine, NamedArrays, NamedTensors, NdArray, Network } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';
import { checkTargets } from './check-targets.ts';
import { rowsWithin } from './memory-budget.ts';
import type { Method, OnePassMethod } from './methods/method.ts';
import { checkTaps, passAtTaps, type TapPass } from './pass-at-taps.ts';
import { repeatRows } from './repeat-rows.ts';
import { inChunks, tapModel } from './tap-model.ts';

export interface AttributorOptions {
  readonly engine: Engine;
  readonly network: Network;
  readonly weights: NamedArrays;
  readonly method: Method;
  /** Default: all of the network's. */
  readonly taps?: readonly string[];
  /** Images (or their changed copies) in one call of the engine; the result does not depend on it. Default: what `rowsWithin` allows. */
  readonly chunk?: number;
  /** [H, W] of the images; default the network's own. */
  readonly imageSize?: readonly [number, number];
  /** Ends the work between two calls of the engine, by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface TapMaps {
  readonly name: string;
  /** Whether each map sums to z − b₀ by construction: contributions at an exact tap alone. */
  readonly exact: boolean;
  /** [N, h, w], channels summed as the method says. */
  readonly maps: NdArray<'float32'>;
}

export interface Attribution {
  /** [N, C] */
  readonly logits: NdArray<'float32'>;
  /** [N, C]; with the logits, what `confidentGrids` chooses by. `taps: []` gives them from a forward pass alone. */
  readonly probabilities: NdArray<'float32'>;
  /** [N]: the class each map is about. */
  readonly targets: Int32Array;
  /** [N]: z − b₀ of the target. */
  readonly expected: Float32Array;
  /** From the input to the output, as the network has them. */
  readonly taps: readonly TapMaps[];
}

export interface Attributor {
  readonly method: Method;
  readonly taps: readonly string[];
  /**
   * images [N, H, W, 3]; targets: a class for each, −1 or `'top'` for the most probable one; or m for each, image by image, and the result
   * has N·m entries. Rejects for maps that are not finite.
   */
  attribute(images: NdArray<'float32'>, targets?: 'top' | readonly number[]): Promise<Attribution>;
  dispose(): Promise<void>;
}

/** Compiles an attributor; `dispose` it when done. */
export async function attributor(options: AttributorOptions): Promise<Attributor> {
  const { engine, network, weights, method, signal, taps = network.taps.map(({ name }) => name) } = options;
  const { imageSize = [network.inputShape[0], network.inputShape[1]] } = options;
  const { chunk = rowsWithin({ network, imageSize }) } = options;
  checkTaps('attribute', network, taps);
  const names = network.taps.map(({ name }) => name).filter((name) => taps.includes(name));
  const onePass = 'formula' in method ? method : undefined;
  const models = onePass === undefined ? names.map((tap) => tapModel({ engine, network, weights, tap, chunk, imageSize, signal })) : [];
  const image: ArraySpec = { shape: ['batch', ...imageSize, 3], dtype: 'float32' };
  const compiled = await engine.compile(
    (tensors) => {
      const own = Object.fromEntries(Object.keys(weights).map((name) => [name, tensors[`weight:${name}`] as tf.Tensor]));
      const given = { images: tensors['image'] as tf.Tensor4D, target: tensors['target'] as tf.Tensor1D };
      const outputs = mapsOf(network, own, given, onePass === undefined ? [] : names, onePass);
      return { ...outputs, probabilities: network.probabilities(outputs['logits'] as tf.Tensor2D) };
    },
    {
      inputs: { image, target: { shape: ['batch'], dtype: 'int32' } },
      // The prefix keeps a weight from being called `image`.
      constants: Object.fromEntries(Object.entries(weights).map(([name, array]) => [`weight:${name}`, array])),
    },
  );
  const exact = (name: string): boolean => method.name === 'contributions' && network.taps.some((tap) => tap.name === name && tap.exact);
  return {
    method,
    taps: names,
    attribute: async (images, targets = 'top') => {
      const count = images.shape[0] ?? 0;
      if (count === 0) throw noImages();
      const each = targets === 'top' ? 1 : targets.length / count;
      const image = Number.isInteger(each) && each > 0 ? repeatRows(images, each) : images;
      const wanted = checkTargets('attribute', image, targets, network.classes, imageSize);
      const target = ndArray('int32', [wanted.length], wanted);
      const outputs = (await inChunks('attribute', compiled, { image, target }, { chunk, signal })) as Record<string, NdArray<'float32'>>;
      const chosen = classesOf(outputs['selector'] as NdArray<'float32'>);
      const maps: TapMaps[] = [];
      for (const [i, name] of names.entries()) {
        const model = models[i];
        const found =
          model === undefined
            ? (outputs[`map${i}`] as NdArray<'float32'>)
            : await (method as Exclude<Method, OnePassMethod>).attribute(model, await model.activations(images), chosen);
        checkFinite(found, name, method.name);
        maps.push({ name, exact: exact(name), maps: found });
      }
      const array = (name: string): NdArray<'float32'> => outputs[name] as NdArray<'float32'>;
      return {
        logits: array('logits'),
        probabilities: array('probabilities'),
        targets: chosen,
        expected: array('expected').data,
        taps: maps,
      };
    },
    dispose: async () => {
      await compiled.dispose();
      for (const model of models) await model.dispose();
    },
  };
}

interface Given {
  readonly images: tf.Tensor4D;
  readonly target: tf.Tensor1D;
}

function mapsOf(network: Network, weights: NamedTensors, given: Given, names: readonly string[], method?: OnePassMethod): NamedTensors {
  const passes = (): TapPass => passAtTaps('attribute', network, weights, given.images, given.target, names);
  const { logits, selector, expected, activations, gradients } = method?.within === undefined ? passes() : method.within(passes);
  const maps = names.map((name, i) => {
    const map = method?.formula(activations[name] as tf.Tensor4D, gradients[name] as tf.Tensor4D);
    return [`map${i}`, map as tf.Tensor] as const;
  });
  return { logits, selector, expected, ...Object.fromEntries(maps) };
}

/** One-hot rows → classes. */
function classesOf({ data, shape }: NdArray<'float32'>): Int32Array {
  const [count = 0, classes = 0] = shape;
  return Int32Array.from({ length: count }, (_, n) => data.subarray(n * classes, (n + 1) * classes).indexOf(1));
}

function checkFinite({ data, shape }: NdArray<'float32'>, tap: string, method: string): void {
  const bad = data.findIndex((x) => !Number.isFinite(x));
  if (bad < 0) return;
  throw new CodaError({
    kind: 'numeric',
    where: `attribute: image ${Math.floor(bad / sizeOf(shape.slice(1)))}, tap ${JSON.stringify(tap)}, method ${method}`,
    problem: 'the map is not finite',
    hint: 'Check the image and the weights for NaN and infinity.',
  });
}

function noImages(): CodaError {
  return new CodaError({ kind: 'argument', where: 'attribute: images', problem: 'there are none' });
}
