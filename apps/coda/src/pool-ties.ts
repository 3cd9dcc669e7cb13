/**
 * Whether a file parts from its model only by ties of max pools: two values of a window that are equal but for rounding, of which the file takes one for the
 * largest, and the model another. Outputs do not show it, the gradient does, which goes to one of them.
 */
import { ndArray, sizeOf, type ArraySpec, type Engine, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { openOnnx } from '@coda-nets/engine';
import { giveNames, withOutputs, type ArrayInfo, type Graph, type ModelInfo } from '@coda-nets/onnx';
import * as tf from '@tensorflow/tfjs-core';
import { difference, largest } from './difference.ts';
import { exportedTaps, exportFunction, exportGraph, exportOptionsOf, residualOutput } from './export-network.ts';
import { activationsAt } from './first-difference.ts';
import { imageBatch } from './image-batch.ts';
import type { OpenModel } from './open-model.ts';
import { BATCHES, targetOf, type Verification } from './verify-onnx.ts';

/** As `readOnnxInfo` gives it. */
export interface OnnxFile {
  readonly info: ModelInfo;
  readonly bytes: Uint8Array;
}

export interface PoolTies {
  /** Windows, by channel and image, of which the file takes another value. */
  readonly windows: number;
  /** Of all outputs, from the model with the file's choice. */
  readonly maxAbsDiff: number;
}

/** How far file and model may be apart at a pool's input, relative to its largest value there: sums in another order. Values of a tie, twice as far. */
export const TIE_ROUNDING = 1e-5;

interface Pool {
  /** The tap whose activation is pooled. */
  readonly tap: string;
  readonly size: readonly number[];
  readonly strides: readonly number[];
  /** Above, to the left, below, to the right. */
  readonly pads: readonly number[];
}

/**
 * The model goes on from the file's activation at every pool; where they agree there to rounding, only ties can change what the gradient does below.
 * Undefined where something else differs: an output that no tie changes, an activation, or a map still. `result`: what `verifyOnnx` gave.
 */
export async function poolTies(
  { info, bytes }: OnnxFile,
  where: string,
  { network, model }: OpenModel,
  images: NdArray<'float32'>,
  reference: Engine,
  result: Verification,
  tolerance: number,
): Promise<PoolTies | undefined> {
  // a probe has its weights inside
  if (info.externalData.length > 0) return undefined;
  const options = exportOptionsOf(info, network);
  const pools = maxPools(exportGraph(network, model, options).graph, network);
  const probe = withOutputs(bytes, new Set(pools.map(({ tap }) => tap)));
  const shown = pools.length > 0 && pools.every(({ tap }) => probe.computed.includes(tap));
  if (!shown || differsAbove(pools, network, result, tolerance)) return undefined;

  const count = images.shape[0] as number;
  const own: NamedArrays[] = [];
  for (let i = 0; i < count; i++) {
    const all = await activationsAt(reference, network, model, row(images, i) as NdArray<'float32'>);
    own.push(Object.fromEntries(pools.map(({ tap }) => [activationOf(tap), all[tap] as NdArray])));
  }
  const { fn, signature } = exportFunction(goingOnFrom(network, pools), model, exportedTaps(network, options), options);
  const given = Object.entries(own[0] as NamedArrays).map(([name, { shape }]): [string, ArraySpec] => [name, { shape, dtype: 'float32' }]);
  const one = Object.entries(signature.inputs).map(([name, spec]): [string, ArraySpec] => [
    name,
    { ...spec, shape: [1, ...spec.shape.slice(1)] },
  ]);
  const compiled = await reference.compile(fn, { ...signature, inputs: Object.fromEntries([...one, ...given]) });
  const file = await openOnnx(probe.bytes, where);
  const residuals = new Set(network.taps.map(({ name }) => residualOutput(name)));
  // most batches give an image the same activations
  const seen = own.map((): { readonly activations: NamedArrays; readonly expected: NamedArrays }[] => []);
  let [windows, maxAbsDiff] = [0, 0];
  try {
    for (const batch of BATCHES) {
      const picks = Array.from({ length: batch }, (_, i) => i % count);
      const feeds: Record<string, NdArray> = {
        image: imageBatch(images, picks, info.inputs.find(({ name }) => name === 'image') as ArrayInfo),
      };
      if ('target' in signature.inputs)
        feeds['target'] = ndArray(
          'int64',
          [batch],
          BigInt64Array.from(picks, (i) => BigInt(targetOf(i, network.classes))),
        );
      const got = await file.run(feeds);
      for (const [n, i] of picks.entries()) {
        const before = own[i] as NamedArrays;
        const activations = Object.fromEntries(pools.map(({ tap }) => [activationOf(tap), channelsLast(row(got[tap] as NdArray, n))]));
        const apart = (others: NamedArrays): number =>
          Math.max(
            ...Object.entries(others).map(
              ([name, b]) => difference(values(activations[name] as NdArray), values(b)) / largest(values(b), Number.MIN_VALUE),
            ),
          );
        let expected = seen[i]?.find((earlier) => apart(earlier.activations) === 0)?.expected;
        if (expected === undefined) {
          if (!(apart(before) <= TIE_ROUNDING)) return undefined;
          for (const pool of pools) windows += otherChoices(activations, before, pool);
          const inputs = Object.fromEntries(Object.entries(feeds).map(([name, array]) => [name, row(array, n)]));
          expected = await compiled.run({ ...inputs, ...activations });
          seen[i]?.push({ activations, expected });
        }
        for (const { name } of info.outputs) {
          const [a, b] = [values(row(got[name] as NdArray, n)), values(expected[name] as NdArray)];
          maxAbsDiff = Math.max(maxAbsDiff, difference(a, b) / (residuals.has(name) ? largest(b, 1) : 1));
        }
        if (maxAbsDiff > tolerance) return undefined;
      }
    }
  } finally {
    await file.dispose();
    await compiled.dispose();
  }
  return windows === 0 ? undefined : { windows, maxAbsDiff };
}

/** Max pools of a tap's activation. */
function maxPools(graph: Graph, network: Network): readonly Pool[] {
  const names = giveNames(graph);
  return graph.nodes.flatMap(({ op, inputs: [x], attributes }) => {
    const tap = x === undefined ? undefined : names.get(x);
    if (op !== 'MaxPool' || tap === undefined || !network.taps.some(({ name }) => name === tap)) return [];
    const whole = (key: string): readonly number[] => (attributes[key] as { readonly ints: readonly number[] }).ints;
    return [{ tap, size: whole('kernel_shape'), strides: whole('strides'), pads: whole('pads') }];
  });
}

/** Ties move gradients alone, and only below the pool; of an exact tap the map is what the model says, whichever is taken. */
function differsAbove(pools: readonly Pool[], network: Network, result: Verification, tolerance: number): boolean {
  const last = Math.max(...pools.map(({ tap }) => network.taps.findIndex(({ name }) => name === tap)));
  const below = new Set(network.taps.filter(({ exact }, i) => i <= last && !exact).map(({ name }) => name));
  const above = ([name]: readonly [string, number]): boolean => !below.has(name);
  const held = [...Object.entries(result.maps), ...Object.entries(result.residuals ?? {})].filter(above).map(([, d]) => d);
  return [result.logits, result.probabilities ?? 0, ...held].some((d) => !(d <= tolerance));
}

const activationOf = (tap: string): string => `activation:${tap}`;

/** The network with other values at these taps, which come beside its weights; gradients pass as they would. */
function goingOnFrom(network: Network, pools: readonly Pool[]): Network {
  const taps = new Set(pools.map(({ tap }) => tap));
  return {
    ...network,
    forward: (weights, images, context) =>
      network.forward(weights, images, {
        training: context.training,
        tap: (name, x) => context.tap(name, taps.has(name) ? (inPlaceOf(x, weights[activationOf(name)] as tf.Tensor) as typeof x) : x),
      }),
  };
}

function inPlaceOf(x: tf.Tensor, value: tf.Tensor): tf.Tensor {
  return tf.customGrad(() => ({ value: tf.clone(value), gradFunc: (dy: tf.Tensor) => dy }))(x);
}

/** How many windows of [1, h, w, C] have their first largest value elsewhere in a than in b. */
function otherChoices(a: NamedArrays, b: NamedArrays, { tap, size, strides, pads }: Pool): number {
  const [x, y] = [a, b].map((arrays) => arrays[activationOf(tap)] as NdArray) as [NdArray, NdArray];
  const [, height, width, channels] = y.shape as [number, number, number, number];
  const [top, left, bottom, right] = pads as [number, number, number, number];
  const first = (data: Float32Array, up: number, side: number, channel: number): number => {
    let place = -1;
    for (let r = Math.max(0, up); r < Math.min(height, up + (size[0] as number)); r++) {
      for (let c = Math.max(0, side); c < Math.min(width, side + (size[1] as number)); c++) {
        const at = (r * width + c) * channels + channel;
        if (place < 0 || (data[at] as number) > (data[place] as number)) place = at;
      }
    }
    return place;
  };
  let count = 0;
  for (let up = -top; up + (size[0] as number) <= height + bottom; up += strides[0] as number) {
    for (let side = -left; side + (size[1] as number) <= width + right; side += strides[1] as number) {
      for (let channel = 0; channel < channels; channel++) {
        if (first(values(x), up, side, channel) !== first(values(y), up, side, channel)) count++;
      }
    }
  }
  return count;
}

const values = ({ data }: NdArray): Float32Array => data as Float32Array;

/** Entry n of the first axis, which stays. */
function row({ dtype, data, shape }: NdArray, n: number): NdArray {
  const size = sizeOf(shape.slice(1));
  return ndArray(dtype, [1, ...shape.slice(1)], data.slice(n * size, (n + 1) * size) as never);
}

/** [1, C, h, w] as [1, h, w, C]. */
function channelsLast({ data, shape }: NdArray): NdArray<'float32'> {
  const [, c, h, w] = shape as [number, number, number, number];
  const last = new Float32Array(data.length);
  for (let i = 0; i < last.length; i++) last[i] = data[(i % c) * h * w + Math.floor(i / c)] as number;
  return ndArray('float32', [1, h, w, c], last);
}
