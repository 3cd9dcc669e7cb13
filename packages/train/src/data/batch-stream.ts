/** Batches of a split: what is asked of `makeBatch`, and a queue that has it made ahead of its use. */
import { CodaError, type NdArray, type Random, type RandomState } from '@coda-nets/core';
import { noAugmentation, type Augmentation } from './augmentation.ts';
import type { ImageSplit } from './image-dataset.ts';
import { imagesOfBatch, makeBatch, type BatchImages, type BatchTask } from './make-batch.ts';

export interface BatchRecipe {
  /** H, W of the network's input. */
  readonly size: readonly [height: number, width: number];
  readonly resize?: number | undefined;
  readonly augmentation?: Augmentation | undefined;
}

/** The task for the images `indices` of `split`. */
export function batchTask(
  split: ImageSplit,
  indices: ArrayLike<number>,
  { size, resize, augmentation = noAugmentation }: BatchRecipe,
  random?: Random,
  streams?: readonly RandomState[],
  place?: number,
): BatchTask {
  const labels = Int32Array.from(indices, (index) => split.labels[index] as number);
  return { source: imagesAt(split, indices), labels, size, resize, augmentation, random: random?.state, streams, place };
}

function imagesAt(split: ImageSplit, indices: ArrayLike<number>): BatchImages {
  if (split.kind === 'files') return { kind: 'files', files: Array.from(indices, (index) => split.file(index)) };
  const bytes = split.imageShape.reduce((product, d) => product * d, 1);
  const data = new Uint8Array(indices.length * bytes);
  for (let i = 0; i < indices.length; i++) {
    const from = (indices[i] as number) * bytes;
    data.set(split.images.subarray(from, from + bytes), i * bytes);
  }
  return { kind: 'pixels', shape: split.imageShape, data };
}

/**
 * The images `indices` of `split`, [n, H, W, C] in [0, 1], made here and now; `random` is needed by every augmentation but `none`. Throws a CodaError for the first that cannot
 * be read.
 */
export async function loadBatch(
  split: ImageSplit,
  indices: ArrayLike<number>,
  recipe: BatchRecipe,
  random?: Random,
): Promise<NdArray<'float32'>> {
  const made = await makeBatch(batchTask(split, indices, recipe, random));
  const [bad] = made.bad;
  if (bad !== undefined) throw new CodaError({ kind: 'malformed', where: bad.file, problem: bad.reason });
  return imagesOfBatch(made, recipe.size);
}

/** What `start` starts, in that order, up to `depth` at a time, until it gives undefined. */
export class Ahead<T> {
  readonly #depth: number;
  readonly #start: () => Promise<T> | undefined;
  readonly #started: Promise<T>[] = [];
  #ended = false;

  constructor(depth: number, start: () => Promise<T> | undefined) {
    this.#depth = depth;
    this.#start = start;
  }

  /** Starts what may be started now. */
  prepare(): void {
    while (!this.#ended && this.#started.length < this.#depth) {
      const one = this.#start();
      if (one === undefined) {
        this.#ended = true;
        return;
      }
      // told where it is waited for
      one.catch(() => undefined);
      this.#started.push(one);
    }
  }

  /** The next one; undefined at the end. */
  async next(): Promise<T | undefined> {
    this.prepare();
    return this.#started.shift();
  }
}
