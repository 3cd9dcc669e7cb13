/**
 * The patches that a convolution sees, as the rows of a matrix, and their adjoint. With them a layer is made of matrix products alone, which
 * run on every backend (wasm has no filter gradient of convolutions) and can be shared between a pass and its gradient. No units in here.
 */
import * as tf from '@tensorflow/tfjs-core';

export interface PatchGeometry {
  /** Side of the square patch. */
  readonly kernel: number;
  readonly stride: number;
  /** Zeros on each of the four sides. */
  readonly padding: number;
}

/** Patches that lie wholly in the zeros around a map give 0, whatever the weights: more zeros than the kernel is wide only add rings of such patches. */
export function largestPadding(kernel: number): number {
  return kernel;
}

/** ⌊(size + 2·padding − kernel) / stride⌋ + 1 */
export function patchCount(size: number, { kernel, stride, padding }: PatchGeometry): number {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1;
}

/** x [N, H, W, C] → [N·H'·W', k·k·C], an entry's index being (row, column, channel). Linear: its gradient is `scatterPatches`. */
export function gatherPatches(x: tf.Tensor4D, geometry: PatchGeometry): tf.Tensor2D {
  return linear(
    x,
    (x) => gathered(x, geometry),
    (dy) => scatterPatches(dy, x.shape, geometry),
  );
}

/** The adjoint of `gatherPatches`, and its gradient: rows [N·H'·W', k·k·C] → [N, H, W, C], each entry added to the place it would be taken from. */
export function scatterPatches(patches: tf.Tensor2D, shape: readonly number[], geometry: PatchGeometry): tf.Tensor4D {
  return linear(
    patches,
    (patches) => scattered(patches, shape, geometry),
    (dy) => gatherPatches(dy, geometry),
  );
}

/** One operation for the tape, with its adjoint as the gradient: tfjs's own would take the way back through every slice. */
function linear<X extends tf.Tensor, Y extends tf.Tensor>(x: X, fn: (x: X) => Y, adjoint: (dy: Y) => X): Y {
  const op = tf.customGrad((...[x]) => ({ value: fn(x as X), gradFunc: (dy: tf.Tensor) => adjoint(dy as Y) }));
  return op(x) as Y;
}

function gathered(x: tf.Tensor4D, geometry: PatchGeometry): tf.Tensor2D {
  const [batch, height, width, channels] = x.shape;
  const { kernel, stride, padding } = geometry;
  const [rows, columns] = [patchCount(height, geometry), patchCount(width, geometry)];
  const shape = [batch * rows * columns, kernel * kernel * channels] as [number, number];
  if (batch === 0) return tf.zeros(shape);
  return tf.tidy(() => {
    const padded =
      padding === 0
        ? x
        : tf.pad(x, [
            [0, 0],
            [padding, padding],
            [padding, padding],
            [0, 0],
          ]);
    const parts = offsets(kernel).map(([row, column]) => {
      const end = [batch, row + (rows - 1) * stride + 1, column + (columns - 1) * stride + 1, channels];
      return stride === 1
        ? tf.slice(padded, [0, row, column, 0], [batch, rows, columns, channels])
        : tf.stridedSlice(padded, [0, row, column, 0], end, [1, stride, stride, 1]);
    });
    return tf.reshape(parts.length === 1 ? (parts[0] as tf.Tensor) : tf.concat(parts, 3), shape);
  });
}

/**
 * A stride s splits the places of x into s·s classes by their remainders; each class is a map of ⌈H/s⌉ × ⌈W/s⌉ to which entries
 * are added without a stride, and the classes are laid side by side at the end. Of a stride beyond the map only the remainders within it are there.
 */
function scattered(patches: tf.Tensor2D, shape: readonly number[], geometry: PatchGeometry): tf.Tensor4D {
  const [batch, height, width, channels] = shape as [number, number, number, number];
  const { kernel, stride, padding } = geometry;
  const [rows, columns] = [patchCount(height, geometry), patchCount(width, geometry)];
  const [coarseHeight, coarseWidth] = [Math.ceil(height / stride), Math.ceil(width / stride)];
  const [down, across] = [Math.min(stride, height), Math.min(stride, width)];
  if (batch === 0) return tf.zeros([batch, height, width, channels]);
  return tf.tidy(() => {
    const all = tf.reshape(patches, [batch, rows, columns, kernel * kernel * channels]);
    const parts = kernel === 1 ? [all] : tf.split(all, kernel * kernel, 3);
    const classes = Array.from({ length: down * across }, (): tf.Tensor[] => []);
    for (const [i, [row, column]] of offsets(kernel).entries()) {
      const [y, x] = [row - padding, column - padding];
      const [top, left] = [Math.floor(y / stride), Math.floor(x / stride)];
      const [a, b] = [y - top * stride, x - left * stride];
      const placed = a < down && b < across ? place(parts[i] as tf.Tensor4D, top, left, coarseHeight, coarseWidth) : undefined;
      if (placed !== undefined) (classes[a * across + b] as tf.Tensor[]).push(placed);
    }
    const sums = classes.map((terms) =>
      terms.length === 0 ? tf.zeros([batch, coarseHeight, coarseWidth, channels]) : terms.length === 1 ? terms[0] : tf.addN(terms),
    ) as tf.Tensor4D[];
    if (stride === 1) return sums[0] as tf.Tensor4D;
    // (…, W/s, s, C) and (…, H/s, s, W, C) lie as (…, W, C) and (…, H, W, C) do
    const lines = Array.from({ length: down }, (_, a) =>
      tf.reshape(tf.concat(sums.slice(a * across, (a + 1) * across), 3), [batch, coarseHeight, 1, coarseWidth * across, channels]),
    );
    const whole = tf.reshape(tf.concat(lines, 2), [batch, coarseHeight * down, coarseWidth * across, channels]) as tf.Tensor4D;
    return tf.slice(whole, [0, 0, 0, 0], [batch, height, width, channels]);
  });
}

/** Rows and columns of a patch, in the order of its entries. */
function offsets(kernel: number): [number, number][] {
  return Array.from({ length: kernel * kernel }, (_, i) => [Math.floor(i / kernel), i % kernel]);
}

/** A map moved by (top, left) within `height` × `width`: zeros where it does not reach, cut where it reaches beyond; undefined where nothing is left. */
function place(x: tf.Tensor4D, top: number, left: number, height: number, width: number): tf.Tensor4D | undefined {
  const [batch, rows, columns, channels] = x.shape;
  const [firstRow, firstColumn] = [Math.max(0, -top), Math.max(0, -left)];
  const [lastRow, lastColumn] = [Math.min(rows, height - top), Math.min(columns, width - left)];
  if (lastRow <= firstRow || lastColumn <= firstColumn) return undefined;
  const kept = tf.slice(x, [0, firstRow, firstColumn, 0], [batch, lastRow - firstRow, lastColumn - firstColumn, channels]);
  const before = [top + firstRow, left + firstColumn] as const;
  const after = [height - top - lastRow, width - left - lastColumn] as const;
  return [...before, ...after].every((count) => count === 0)
    ? kept
    : tf.pad(kept, [
        [0, 0],
        [before[0], after[0]],
        [before[1], after[1]],
        [0, 0],
      ]);
}
