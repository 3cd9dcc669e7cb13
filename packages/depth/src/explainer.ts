/**
 * Explanations on host arrays: compiles `contributionsAtTaps` once with a dynamic batch and runs it in chunks. Not a method of its own:
 * the mathematics stand in explain.ts.
 */
import { CodaError, ndArray, sizeOf } from '@coda-nets/core';
import type { ArraySpec, Compiled, Engine, NamedArrays, NamedTensors, NdArray, Network } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';
import { checkTargets } from './check-targets.ts';
import { contributionsAtTaps, inputTimesGradient, residualFloor } from './explain.ts';
import { checkTaps } from './pass-at-taps.ts';

export interface ExplainerOptions {
  readonly engine: Engine;
  readonly network: Network;
  readonly weights: NamedArrays;
  /** Default: all of the network's. */
  readonly taps?: readonly string[];
  /** Also return contributions and linear map by channel; they are C times as large. Default false. */
  readonly withFullMaps?: boolean;
  /** `inputTimesGradient` is the baseline that does not hold the dynamic weights. Default `contributions`. */
  readonly method?: 'contributions' | 'inputTimesGradient';
  /** Images in one call of the engine, which bounds memory; the result does not depend on it. Default 16. */
  readonly chunk?: number;
  /** [H, W] of the images; default the network's own. */
  readonly imageSize?: readonly [number, number];
}

export interface TapExplanation {
  readonly name: string;
  /** Whether the map's sum is z − b₀ by construction. Where false the map is gradient × activation, whatever its residual. */
  readonly exact: boolean;
  /** [h, w]: contributions to the target's logit, summed over channels. */
  readonly map: NdArray<'float32'>;
  /** Σ of the map, added in float64. */
  readonly sum: number;
  /** z − b₀ of the target. */
  readonly expected: number;
  /** |sum − expected| / |expected| */
  readonly residual: number;
  /** [h, w, C]; with `withFullMaps` alone. */
  readonly full?: { readonly contributions: NdArray<'float32'>; readonly linearMap: NdArray<'float32'> };
}

export interface Explanation {
  /** [C] */
  readonly logits: NdArray<'float32'>;
  /** [C] */
  readonly probabilities: NdArray<'float32'>;
  /** The class that is explained. */
  readonly target: number;
  readonly logit: number;
  readonly probability: number;
  /** From the input to the output, as the network has them. */
  readonly taps: readonly TapExplanation[];
}

export interface Explainer {
  /** The taps that are explained, from the input to the output. */
  readonly taps: readonly string[];
  /**
   * images [N, H, W, 3] in [0, 1]; targets: a class for each image, −1 or `'top'` for the most probable one. One explanation an image.
   * Rejects with a CodaError for wrong shapes and classes, and for images whose logits or maps are not finite.
   */
  explain(images: NdArray<'float32'>, targets?: 'top' | readonly number[]): Promise<readonly Explanation[]>;
  dispose(): Promise<void>;
}

/** Compiles an explainer; `dispose` it when done. */
export async function explainer({
  engine,
  network,
  weights,
  taps = network.taps.map((tap) => tap.name),
  withFullMaps = false,
  method = 'contributions',
  chunk = 16,
  imageSize = [network.inputShape[0], network.inputShape[1]],
}: ExplainerOptions): Promise<Explainer> {
  checkTaps('explain', network, taps);
  if (!Number.isInteger(chunk) || chunk < 1) {
    throw argumentError('explainer: chunk', 'not a number of images', 'an integer from 1', String(chunk));
  }
  const names = network.taps.map((tap) => tap.name).filter((name) => taps.includes(name));
  const image: ArraySpec = { shape: ['batch', ...imageSize, 3], dtype: 'float32' };
  const attribute = method === 'contributions' ? contributionsAtTaps : inputTimesGradient;
  // Weights and inputs come in one record; the prefix keeps a weight from being called `image`.
  const constants = Object.fromEntries(Object.entries(weights).map(([name, array]) => [`weight:${name}`, array]));
  const compiled = await engine.compile(
    (tensors) => {
      const named: Record<string, tf.Tensor> = {};
      for (const name of Object.keys(weights)) named[name] = tensors[`weight:${name}`] as tf.Tensor;
      const images = tensors['image'] as tf.Tensor4D;
      const result = attribute(network, named, images, tensors['target'] as tf.Tensor1D, names);
      const outputs: Record<string, tf.Tensor> = {
        logits: result.logits,
        probabilities: network.probabilities(result.logits),
        selector: result.selector,
        expected: result.expected,
      };
      for (const [i, name] of names.entries()) {
        const tap = result.taps[name];
        if (tap === undefined) continue;
        outputs[`map${i}`] = tap.map;
        if (withFullMaps) {
          outputs[`contributions${i}`] = tap.contributions;
          outputs[`linearMap${i}`] = tap.linearMap;
        }
      }
      return outputs satisfies NamedTensors;
    },
    { inputs: { image, target: { shape: ['batch'], dtype: 'int32' } }, constants },
  );
  const exactTaps = new Set(method === 'contributions' ? network.taps.filter((tap) => tap.exact).map((tap) => tap.name) : []);
  return {
    taps: names,
    explain: async (images, targets = 'top') => {
      const classes = checkTargets('explain', images, targets, network.classes, imageSize);
      const explanations: Explanation[] = [];
      for (let start = 0; start < classes.length; start += chunk) {
        const part = classes.slice(start, start + chunk);
        const outputs = await run(compiled, images, part, start);
        for (let n = 0; n < part.length; n++) {
          explanations.push(explanationOf(outputs, n, start + n, names, exactTaps, network.logitBias));
        }
      }
      return explanations;
    },
    dispose: () => compiled.dispose(),
  };
}

function run(compiled: Compiled, images: NdArray<'float32'>, classes: Int32Array, start: number): Promise<NamedArrays> {
  const shape = images.shape.slice(1);
  const size = sizeOf(shape);
  const data = images.data.slice(start * size, (start + classes.length) * size);
  return compiled.run({
    image: ndArray('float32', [classes.length, ...shape], data),
    target: ndArray('int32', [classes.length], classes),
  });
}

function explanationOf(
  outputs: NamedArrays,
  n: number,
  index: number,
  names: readonly string[],
  exactTaps: ReadonlySet<string>,
  logitBias: number,
): Explanation {
  const logits = row(outputs, 'logits', n);
  const probabilities = row(outputs, 'probabilities', n);
  const target = row(outputs, 'selector', n).data.indexOf(1);
  const logit = logits.data[target] as number;
  const expected = (outputs['expected'] as NdArray<'float32'>).data[n] as number;
  const taps = names.map((name, i): TapExplanation => {
    const map = row(outputs, `map${i}`, n);
    const sum = map.data.reduce((total, x) => total + x, 0);
    if (!Number.isFinite(sum) || !Number.isFinite(expected)) throw notFinite(index, name);
    const residual = Math.abs(sum - expected) / Math.max(Math.abs(expected), residualFloor(logitBias));
    const tap = { name, exact: exactTaps.has(name), map, sum, expected, residual };
    if (outputs[`linearMap${i}`] === undefined) return tap;
    return {
      ...tap,
      full: { contributions: row(outputs, `contributions${i}`, n), linearMap: row(outputs, `linearMap${i}`, n) },
    };
  });
  return { logits, probabilities, target, logit, probability: probabilities.data[target] as number, taps };
}

/** Entry n of the first axis, copied. */
function row(outputs: NamedArrays, name: string, n: number): NdArray<'float32'> {
  const array = outputs[name] as NdArray<'float32'>;
  const shape = array.shape.slice(1);
  const size = sizeOf(shape);
  return ndArray('float32', shape, array.data.slice(n * size, (n + 1) * size));
}

function argumentError(where: string, problem: string, expected: string, got: string): CodaError {
  return new CodaError({ kind: 'argument', where, problem, expected, got });
}

function notFinite(index: number, tap: string): CodaError {
  return new CodaError({
    kind: 'numeric',
    where: `explain: image ${index}, tap ${JSON.stringify(tap)}`,
    problem: 'the logit or a contribution is not a finite number',
    hint: 'Check the image and the weights for NaN and infinity.',
  });
}
