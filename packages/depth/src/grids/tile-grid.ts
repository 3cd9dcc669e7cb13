/** Pastes the images of a grid side by side into one, before any encoding: a fully convolutional network sees the whole. */
import { CodaError, ndArray, sizeOf, type NdArray } from '@coda-nets/core';
import type { Grid } from './grid-list.ts';

/** images [N, H, W, C], n² of which the grid names, row by row → [n·H, n·W, C]. */
export function tileGrid(images: NdArray<'float32'>, { images: indices }: Pick<Grid, 'images'>): NdArray<'float32'> {
  const [count = 0, h = 0, w = 0, channels = 0] = images.shape;
  const n = Math.sqrt(indices.length);
  const bad = indices.find((i) => !Number.isInteger(i) || i < 0 || i >= count);
  if (!Number.isInteger(n) || bad !== undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'tileGrid: grid',
      problem: bad === undefined ? 'not a square number of images' : 'there is no such image',
      expected: bad === undefined ? 'n² of them' : `an index from 0 to ${count - 1}`,
      got: String(bad ?? indices.length),
    });
  }
  const data = new Float32Array(sizeOf([n * h, n * w, channels]));
  const row = w * channels;
  for (const [cell, image] of indices.entries()) {
    for (let y = 0; y < h; y++) {
      const from = (image * h + y) * row;
      data.set(images.data.subarray(from, from + row), ((Math.floor(cell / n) * h + y) * n + (cell % n)) * row);
    }
  }
  return ndArray('float32', [n * h, n * w, channels], data);
}
