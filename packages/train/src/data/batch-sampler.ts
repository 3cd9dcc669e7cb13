/**
 * Which images make which batch: an order for each epoch, cut into batches, that can be left and taken up again
 * anywhere.
 */
import { CodaError, Random } from '@coda-nets/core';

/** Plain data for a checkpoint. */
export interface BatchSamplerState {
  /** From 0. */
  readonly epoch: number;
  /** Images of this epoch that were handed out. */
  readonly position: number;
}

export interface SampledBatch {
  readonly epoch: number;
  /** Of its first image in the order of the epoch. */
  readonly position: number;
  readonly indices: Uint32Array;
  /** A stream for this batch's augmentation; depends on (seed, epoch, position) only. */
  readonly random: Random;
  /** Whether the next batch is of the next epoch. */
  readonly endsEpoch: boolean;
}

export interface BatchSamplerOptions {
  /** Images of the split. */
  readonly length: number;
  readonly batchSize: number;
  /** An integer in [0, 2^32). */
  readonly seed: number;
  /** Leaves out the last, smaller batch of an epoch (default), so that all batches have one size. */
  readonly dropLast?: boolean;
  /** An epoch has a multiple of so many batches, default 1; what is left over is left out, as the last, smaller batch is. */
  readonly batchesAtOnce?: number;
  /** The order of an epoch; default: `epochOrder`, any one. */
  readonly order?: ((random: Random) => Uint32Array) | undefined;
}

/** An order of 0 … length − 1. */
export function epochOrder(length: number, random: Random): Uint32Array {
  return random.permutation(length);
}

/** Cuts 0 … length − 1 in order into batches, the last one smaller: for evaluation. */
export function* sequentialBatches(length: number, batchSize: number): Generator<Uint32Array> {
  for (let first = 0; first < length; first += batchSize) {
    yield Uint32Array.from({ length: Math.min(batchSize, length - first) }, (_, i) => first + i);
  }
}

/** Endless batches in a new order every epoch; the order of an epoch depends on (seed, epoch) only. */
export class BatchSampler {
  readonly length: number;
  readonly batchSize: number;
  readonly batchesPerEpoch: number;
  /** Images an epoch hands out. */
  readonly imagesPerEpoch: number;
  readonly #random: Random;
  readonly #orderBy: (random: Random) => Uint32Array;
  #epoch = 0;
  #position = 0;
  #order: Uint32Array | undefined;

  constructor({ length, batchSize, seed, dropLast = true, batchesAtOnce = 1, order }: BatchSamplerOptions) {
    const most = dropLast ? length : Number.MAX_SAFE_INTEGER;
    if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > most) {
      throw new CodaError({
        kind: 'argument',
        where: 'BatchSampler: batchSize',
        problem: 'no batch of this size can be made',
        expected: dropLast ? `an integer from 1 to ${length}, the number of images` : 'an integer from 1',
        got: String(batchSize),
      });
    }
    this.length = length;
    this.batchSize = batchSize;
    const batches = dropLast ? Math.floor(length / batchSize) : Math.ceil(length / batchSize);
    this.batchesPerEpoch = batches - (batches % batchesAtOnce);
    this.imagesPerEpoch = Math.min(length, this.batchesPerEpoch * batchSize);
    this.#random = Random.seeded(seed);
    this.#orderBy = order ?? ((random) => epochOrder(length, random));
  }

  /** Where the next batch starts. */
  get state(): BatchSamplerState {
    return { epoch: this.#epoch, position: this.#position };
  }

  /**
   * Goes on from `state`.
   * @throws CodaError `mismatch` for a state that this sampler cannot have been in.
   */
  restore({ epoch, position }: BatchSamplerState): void {
    const possible =
      Number.isInteger(epoch) &&
      epoch >= 0 &&
      Number.isInteger(position) &&
      position >= 0 &&
      position < this.imagesPerEpoch &&
      position % this.batchSize === 0;
    if (!possible) {
      throw new CodaError({
        kind: 'mismatch',
        where: 'BatchSampler.restore: state',
        problem: 'not a place between two batches of this sampler',
        expected: `epoch ≥ 0, position a multiple of ${this.batchSize} below ${this.imagesPerEpoch}`,
        got: `epoch ${epoch}, position ${position}`,
        hint: 'The data set and the batch size must be those of the run that wrote the state.',
      });
    }
    if (epoch !== this.#epoch) this.#order = undefined;
    this.#epoch = epoch;
    this.#position = position;
  }

  next(): SampledBatch {
    this.#order ??= this.#orderBy(this.#random.split('order').split(this.#epoch));
    const epoch = this.#epoch;
    const position = this.#position;
    const end = Math.min(position + this.batchSize, this.imagesPerEpoch);
    const indices = this.#order.slice(position, end);
    const endsEpoch = end === this.imagesPerEpoch;
    if (endsEpoch) {
      this.#epoch++;
      this.#position = 0;
      this.#order = undefined;
    } else {
      this.#position = end;
    }
    return { epoch, position, indices, endsEpoch, random: this.#random.split('augment').split(epoch).split(position) };
  }
}
