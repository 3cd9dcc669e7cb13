/** Runs an ONNX file beside the model it was made from, and measures how far they are apart. */
import { CodaError, ndArray, sizeOf, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import { explainer } from '@coda-nets/depth';
import { openOnnx, type OnnxFile } from '@coda-nets/engine';
import { mapOutput } from './export-network.ts';
import type { OpenModel } from './open-model.ts';

export interface Verification {
  readonly images: number;
  /** Largest |file − model| over all logits, and over all entries of each map. */
  readonly logits: number;
  readonly maps: Readonly<Record<string, number>>;
  readonly maxAbsDiff: number;
}

/** Batches of several sizes, so that the batch is seen to be free. */
const BATCHES = [1, 3, 64] as const;
/** No batch has room for more. */
export const MOST_IMAGES = Math.max(...BATCHES);

/**
 * images: [N, H, W, 3], float32 in [0, 1] (multiples of 1/255 for a uint8 file). Each image is explained for its top class, and every other one for a
 * class drawn round-robin, so that `target` is seen to work. `reference` runs the model by other means than the file: an eager engine.
 */
export async function verifyOnnx(
  bytes: Uint8Array,
  where: string,
  open: OpenModel,
  images: NdArray<'float32'>,
  reference: Engine,
): Promise<Verification> {
  const file = await openOnnx(bytes, where);
  try {
    return await compare(file, where, open, images, reference);
  } catch (error) {
    throw CodaError.isInstance(error) && !error.where.startsWith(where) ? error.within(where) : error;
  } finally {
    await file.dispose();
  }
}

async function compare(
  file: OnnxFile,
  where: string,
  { network, model }: OpenModel,
  images: NdArray<'float32'>,
  reference: Engine,
): Promise<Verification> {
  const image = file.inputs.find(({ name }) => name === 'image');
  if (image === undefined || !file.outputs.some(({ name }) => name === 'logits')) {
    throw new CodaError({
      kind: 'mismatch',
      where,
      problem: 'not a file of `coda export`',
      expected: 'an input "image" and an output "logits"',
      got: `inputs ${file.inputs.map((i) => i.name).join(', ')}`,
    });
  }
  const layout = image.shape[1] === 3 ? 'nchw' : 'nhwc';
  const withTarget = file.inputs.some(({ name }) => name === 'target');
  const taps = network.taps.map(({ name }) => name).filter((name) => file.outputs.some((o) => o.name === mapOutput(name)));
  const explained = await explainer({
    engine: reference,
    network,
    weights: model.weights,
    taps: taps.length === 0 ? ['input'] : taps,
    chunk: 4,
  });
  const count = images.shape[0] as number;
  const targets = Array.from({ length: count }, (_, i) => (i % 2 === 0 ? -1 : i % network.classes));
  const expected = await explained.explain(images, targets);
  await explained.dispose();

  let logits = 0;
  const maps: Record<string, number> = Object.fromEntries(taps.map((tap) => [tap, 0]));
  for (const batch of BATCHES) {
    // the images again and again, until the batch is full
    const picks = Array.from({ length: batch }, (_, i) => i % count);
    const feeds: Record<string, NdArray> = { image: batchOf(images, picks, layout, image.dtype === 'uint8') };
    if (withTarget)
      feeds['target'] = ndArray(
        'int64',
        [batch],
        BigInt64Array.from(picks, (i) => BigInt(targets[i] as number)),
      );
    const outputs = await file.run(feeds);
    for (const [n, i] of picks.entries()) {
      const explanation = expected[i];
      if (explanation === undefined) continue;
      logits = Math.max(logits, difference(row(outputs, 'logits', n), explanation.logits.data));
      for (const tap of explanation.taps) {
        if (taps.includes(tap.name))
          maps[tap.name] = Math.max(maps[tap.name] as number, difference(row(outputs, mapOutput(tap.name), n), tap.map.data));
      }
    }
  }
  return { images: count, logits, maps, maxAbsDiff: Math.max(logits, ...Object.values(maps)) };
}

function row(outputs: NamedArrays, name: string, n: number): Float32Array {
  const { data, shape } = outputs[name] as NdArray<'float32'>;
  const size = sizeOf(shape.slice(1));
  return data.subarray(n * size, (n + 1) * size);
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs((a[i] as number) - (b[i] as number));
    // NaN must not pass
    if (!(d <= worst)) worst = Number.isNaN(d) ? Infinity : d;
  }
  return worst;
}

function batchOf(images: NdArray<'float32'>, picks: readonly number[], layout: 'nchw' | 'nhwc', bytes: boolean): NdArray {
  const [, h, w, c] = images.shape as [number, number, number, number];
  const size = h * w * c;
  const data = new Float32Array(picks.length * size);
  for (const [n, i] of picks.entries()) {
    for (let p = 0; p < h * w; p++) {
      for (let channel = 0; channel < c; channel++) {
        const at = layout === 'nhwc' ? p * c + channel : channel * h * w + p;
        data[n * size + at] = images.data[i * size + p * c + channel] as number;
      }
    }
  }
  const shape = layout === 'nhwc' ? [picks.length, h, w, c] : [picks.length, c, h, w];
  return bytes
    ? ndArray(
        'uint8',
        shape,
        Uint8Array.from(data, (x) => Math.round(x * 255)),
      )
    : ndArray('float32', shape, data);
}
