/**
 * Makes the arrays of one batch out of 8-bit images: picks, augments, scales to [0, 1]. The hot loop of the data side.
 */
import { CodaError, ndArray, type NdArray, type Random } from '@coda-nets/core';
import { noAugmentation, type SimpleAugmentation } from './augmentation.ts';
import type { PixelSplit } from './image-dataset.ts';

export interface AssembledBatch {
  /** [n, H, W, C], in [0, 1]: byte / 255, rounded to float32. */
  readonly images: NdArray<'float32'>;
  /** [n] */
  readonly labels: NdArray<'int32'>;
}

const unit = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/** into[at + i] = bytes[i] / 255, rounded to float32. A function of its own, which a compiler makes fast. */
export function toUnit(bytes: Uint8Array, into: Float32Array, at: number): void {
  const table = unit;
  for (let i = 0; i < bytes.length; i++) into[at + i] = table[bytes[i] as number] as number;
}

/**
 * The images `indices` of `split` in that order. Every image takes its draws from `random` in turn (crop row, crop
 * column, mirror), so a batch depends on the stream's state and its own indices only. `place`: how many images of a larger batch are before
 * these; theirs are drawn too.
 *
 * @throws CodaError `argument` for an index outside of the split, or an augmentation without `random`.
 */
export function assembleBatch(
  split: PixelSplit,
  indices: ArrayLike<number>,
  augmentation: SimpleAugmentation = noAugmentation,
  random?: Random,
  place = 0,
): AssembledBatch {
  const [height, width, channels] = split.imageShape;
  const n = indices.length;
  const imageBytes = height * width * channels;
  const images = new Float32Array(n * imageBytes);
  const labels = new Int32Array(n);
  if (random !== undefined) for (let i = 0; i < place; i++) draws(augmentation, random);
  for (let i = 0; i < n; i++) {
    const index = indices[i] as number;
    if (!Number.isInteger(index) || index < 0 || index >= split.length) {
      throw new CodaError({
        kind: 'argument',
        where: `assembleBatch: indices[${i}]`,
        problem: 'no image of the split',
        expected: `an integer from 0 to ${split.length - 1}`,
        got: String(index),
      });
    }
    labels[i] = split.labels[index] as number;
    const from = index * imageBytes;
    const to = i * imageBytes;
    if (augmentation.kind === 'none') {
      copyImage(split.images, from, images, to, height, width, channels, 0, 0, false);
      continue;
    }
    if (random === undefined) {
      throw new CodaError({
        kind: 'argument',
        where: 'assembleBatch: random',
        problem: `the augmentation ${augmentation.kind} needs random numbers`,
        expected: 'a Random',
        got: 'undefined',
      });
    }
    const { down, right, mirrored } = draws(augmentation, random);
    copyImage(split.images, from, images, to, height, width, channels, down, right, mirrored);
  }
  return { images: ndArray('float32', [n, height, width, channels], images), labels: ndArray('int32', [n], labels) };
}

/** Of one image: where its window is, and whether it is mirrored. */
function draws(augmentation: SimpleAugmentation, random: Random): { down: number; right: number; mirrored: boolean } {
  if (augmentation.kind === 'none') return { down: 0, right: 0, mirrored: false };
  const shift = (): number => (augmentation.kind === 'flip-and-crop' ? random.below(2 * augmentation.pad + 1) - augmentation.pad : 0);
  const down = shift();
  const right = shift();
  return { down, right, mirrored: random.uint32() >= 0x8000_0000 };
}

/**
 * images[to + (y, x)] = bytes[from + (y + down, x + right)] / 255, zero outside; mirrored in x after that. The target
 * is zero before.
 */
function copyImage(
  bytes: Uint8Array,
  from: number,
  images: Float32Array,
  to: number,
  height: number,
  width: number,
  channels: number,
  down: number,
  right: number,
  mirrored: boolean,
): void {
  const rowBytes = width * channels;
  const firstRow = Math.max(0, -down);
  const endRow = Math.min(height, height - down);
  const firstColumn = Math.max(0, -right);
  const endColumn = Math.min(width, width - right);
  for (let y = firstRow; y < endRow; y++) {
    let source = from + (y + down) * rowBytes + (firstColumn + right) * channels;
    const row = to + y * rowBytes;
    if (!mirrored) {
      const end = row + endColumn * channels;
      for (let target = row + firstColumn * channels; target < end;) {
        images[target++] = unit[bytes[source++] as number] as number;
      }
    } else if (channels === 3) {
      const end = row + (width - endColumn) * 3;
      for (let target = row + (width - 1 - firstColumn) * 3; target >= end; target -= 3) {
        images[target] = unit[bytes[source] as number] as number;
        images[target + 1] = unit[bytes[source + 1] as number] as number;
        images[target + 2] = unit[bytes[source + 2] as number] as number;
        source += 3;
      }
    } else {
      for (let x = firstColumn; x < endColumn; x++) {
        const target = row + (width - 1 - x) * channels;
        for (let c = 0; c < channels; c++) images[target + c] = unit[bytes[source++] as number] as number;
      }
    }
  }
}
