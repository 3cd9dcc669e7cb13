/** Runs an ONNX file beside the model it was made from, and measures how far they are apart. */
import { CodaError, ndArray, sizeOf, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import { explainer, type Explanation } from '@coda-nets/depth';
import type { OnnxFile } from '@coda-nets/engine';
import { difference } from './difference.ts';
import { mapOutput, residualOutput } from './export-network.ts';
import { imageBatch } from './image-batch.ts';
import type { OpenModel } from './open-model.ts';

export interface Verification {
  readonly images: number;
  /** Largest |file − model| over all logits, and over all entries of each map. */
  readonly logits: number;
  readonly maps: Readonly<Record<string, number>>;
  /** The same for what the file has of these; residuals relative to the model's where that is above 1. */
  readonly probabilities?: number;
  readonly residuals?: Readonly<Record<string, number>>;
  readonly maxAbsDiff: number;
}

/** Batches of several sizes, so that the batch is seen to be free. */
export const BATCHES = [1, 3, 64] as const;
/** Images that the model explains at once. */
const CHUNK = 4;
/** No batch has room for more. */
export const MOST_IMAGES = Math.max(...BATCHES);

/** The class that image i is explained for; −1: its top class. */
export const targetOf = (i: number, classes: number): number => (i % 2 === 0 ? -1 : i % classes);

/**
 * images: [N, H, W, 3], float32 in [0, 1] (multiples of 1/255 for a uint8 file). Each image is explained for its top class, and every other one for a
 * class drawn round-robin, so that `target` is seen to work. `reference` runs the model by other means than the file: an eager engine. Every output of the
 * file is compared; one that the model does not have is an error. Disposes of `file`.
 */
export async function verifyOnnx(
  file: OnnxFile,
  where: string,
  open: OpenModel,
  images: NdArray<'float32'>,
  reference: Engine,
  onProgress: (done: number, total: number) => void = () => undefined,
): Promise<Verification> {
  try {
    return await compare(file, where, open, images, reference, onProgress);
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
  onProgress: (done: number, total: number) => void,
): Promise<Verification> {
  const image = file.inputs.find(({ name }) => name === 'image');
  const named = file.outputs.map(({ name }) => name);
  const mismatch = (problem: string, expected: string, got: string): CodaError =>
    new CodaError({ kind: 'mismatch', where, problem, expected, got });
  if (image === undefined || !named.includes('logits')) {
    const got = `inputs ${file.inputs.map((i) => i.name).join(', ')}`;
    throw mismatch('not a file of `coda export`', 'an input "image" and an output "logits"', got);
  }
  const withTarget = file.inputs.some(({ name }) => name === 'target');
  const all = network.taps.map(({ name }) => name);
  const taps = all.filter((name) => named.includes(mapOutput(name)) || named.includes(residualOutput(name)));
  const known = new Set(['logits', 'probabilities', ...taps.flatMap((name) => [mapOutput(name), residualOutput(name)])]);
  const unknown = named.filter((name) => !known.has(name));
  if (unknown.length > 0) throw mismatch('outputs that the model does not have', [...known].join(', '), unknown.join(', '));
  const explained = await explainer({
    engine: reference,
    network,
    weights: model.weights,
    taps: taps.length === 0 ? ['input'] : taps,
    chunk: CHUNK,
  });
  const count = images.shape[0] as number;
  // by the model, then by the file in each batch
  const total = BATCHES.reduce<number>((sum, batch) => sum + batch, count);
  let done = 0;
  const advance = (rows: number): void => onProgress((done += rows), total);
  const targets = Array.from({ length: count }, (_, i) => targetOf(i, network.classes));
  const expected: Explanation[] = [];
  try {
    for (let from = 0; from < count; from += CHUNK) {
      const some = Array.from({ length: Math.min(CHUNK, count - from) }, (_, i) => from + i);
      const part = rowsOf(images, some[0] as number, some.length);
      expected.push(
        ...(await explained.explain(
          part,
          some.map((i) => targets[i] as number),
        )),
      );
      advance(some.length);
    }
  } finally {
    await explained.dispose();
  }

  const worst: Record<string, number> = Object.fromEntries(named.map((name) => [name, 0]));
  for (const batch of BATCHES) {
    // the images again and again, until the batch is full
    const picks = Array.from({ length: batch }, (_, i) => i % count);
    const feeds: Record<string, NdArray> = { image: imageBatch(images, picks, image) };
    if (withTarget)
      feeds['target'] = ndArray(
        'int64',
        [batch],
        BigInt64Array.from(picks, (i) => BigInt(targets[i] as number)),
      );
    const outputs = await file.run(feeds);
    advance(batch);
    for (const [n, i] of picks.entries()) {
      const explanation = expected[i];
      if (explanation === undefined) continue;
      for (const [name, { values, scale }] of Object.entries(expectedOutputs(explanation))) {
        if (named.includes(name)) worst[name] = Math.max(worst[name] as number, difference(row(outputs, name, n), values) / scale);
      }
    }
  }
  const by = (output: (tap: string) => string): Record<string, number> =>
    Object.fromEntries(taps.filter((tap) => named.includes(output(tap))).map((tap) => [tap, worst[output(tap)] as number]));
  return {
    images: count,
    logits: worst['logits'] as number,
    maps: by(mapOutput),
    ...(named.includes('probabilities') && { probabilities: worst['probabilities'] as number }),
    ...(taps.some((tap) => named.includes(residualOutput(tap))) && { residuals: by(residualOutput) }),
    maxAbsDiff: Math.max(...Object.values(worst)),
  };
}

interface Expected {
  readonly values: ArrayLike<number>;
  /** What a difference is divided by. */
  readonly scale: number;
}

function expectedOutputs({ logits, probabilities, taps }: Explanation): Record<string, Expected> {
  const outputs: Record<string, Expected> = {
    logits: { values: logits.data, scale: 1 },
    probabilities: { values: probabilities.data, scale: 1 },
  };
  for (const { name, map, residual } of taps) {
    outputs[mapOutput(name)] = { values: map.data, scale: 1 };
    // of a tap that is not exact it has no bound, and is a quotient by what may be small
    outputs[residualOutput(name)] = { values: [residual], scale: Math.max(1, residual) };
  }
  return outputs;
}

/** images[from … from + count) */
function rowsOf({ data, shape }: NdArray<'float32'>, from: number, count: number): NdArray<'float32'> {
  const size = sizeOf(shape.slice(1));
  return ndArray('float32', [count, ...shape.slice(1)], data.slice(from * size, (from + count) * size));
}

function row(outputs: NamedArrays, name: string, n: number): Float32Array {
  const { data, shape } = outputs[name] as NdArray<'float32'>;
  const size = sizeOf(shape.slice(1));
  return data.subarray(n * size, (n + 1) * size);
}
