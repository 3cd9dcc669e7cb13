/** Asks the network about many changed copies of each activation, in chunks, and hands each answer back: what all sampling methods are made of. */
import { ndArray, sizeOf, type NdArray } from '@coda-nets/core';
import type { AboveFunction, TapModel } from '../tap-model.ts';

/** Rows that are written when they are asked for, where all of them would be many times what they are made from. */
export interface RowsOnDemand {
  /** [N, h, w, C] */
  readonly shape: readonly number[];
  write(row: Float32Array, n: number): void;
}

export interface Sampling<S> {
  readonly model: TapModel;
  /** [N, h, w, C] */
  readonly activations: NdArray<'float32'> | RowsOnDemand;
  /** [N], where `ask` wants one. */
  readonly targets?: Int32Array;
  /** Changed copies of each activation. */
  readonly samples: number;
  /** Sample s, the same for every image: so an answer does not depend on which images come together. */
  draw(s: number): S;
  /** Writes the changed copy of image n's activation into `row`, which comes as a copy of it. */
  perturb(row: Float32Array, sample: S, n: number): void;
  /** What is asked of the network, given `activation` and, with `targets`, `target`. */
  readonly ask: AboveFunction;
  /** Which of its results is wanted. */
  readonly output: string;
  /** Called for each image with its samples in their order. */
  visit(answer: Float32Array, sample: S, n: number): void;
}

export async function overSamples<S>({
  model,
  activations,
  targets,
  samples,
  draw,
  perturb,
  ask,
  output,
  visit,
}: Sampling<S>): Promise<void> {
  const [images = 0, ...shape] = activations.shape;
  const size = sizeOf(shape);
  const write = 'write' in activations ? activations.write : copyOf(activations.data, size);
  const total = images * samples;
  // Sample by sample, so that each is drawn once for all images.
  let drawn: { readonly s: number; readonly sample: S } | undefined;
  for (let start = 0; start < total; start += model.chunk) {
    const count = Math.min(model.chunk, total - start);
    const data = new Float32Array(count * size);
    const target = new Int32Array(count);
    const asked: { readonly n: number; readonly sample: S }[] = [];
    for (let i = 0; i < count; i++) {
      const s = Math.floor((start + i) / images);
      const n = (start + i) % images;
      if (drawn?.s !== s) drawn = { s, sample: draw(s) };
      const row = data.subarray(i * size, (i + 1) * size);
      write(row, n);
      perturb(row, drawn.sample, n);
      target[i] = targets?.[n] ?? 0;
      asked.push({ n, sample: drawn.sample });
    }
    const activation = ndArray('float32', [count, ...shape], data);
    const inputs = targets === undefined ? { activation } : { activation, target: ndArray('int32', [count], target) };
    const answers = (await model.run(ask, inputs))[output] as NdArray<'float32'>;
    const length = answers.data.length / count;
    for (const [i, { n, sample }] of asked.entries()) visit(answers.data.subarray(i * length, (i + 1) * length), sample, n);
    model.onShare?.((start + count) / total);
  }
}

function copyOf(data: Float32Array, size: number): RowsOnDemand['write'] {
  return (row, n) => row.set(data.subarray(n * size, (n + 1) * size));
}

/** By image, the rows of its targets in [N·m] and their classes: one answer of the network serves all of them. */
export function rowsOfTargets(targets: Int32Array, images: number): readonly (readonly (readonly [row: number, target: number])[])[] {
  const each = targets.length / images;
  return Array.from({ length: images }, (_, n) => Array.from({ length: each }, (__, i) => [n * each + i, targets[n * each + i] as number]));
}
