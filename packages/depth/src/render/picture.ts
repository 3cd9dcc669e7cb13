/** A picture in memory: 8-bit RGBA, row by row, not premultiplied. Computes nothing; files are encode-png.ts. */
import { CodaError, type NdArray } from '@coda-nets/core';

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 4·width·height bytes: red, green, blue, alpha. */
  readonly data: Uint8Array;
}

export type Colour = readonly [red: number, green: number, blue: number];

/** Larger sides are mistakes: a picture of 16384² takes a gigabyte. */
const MAX_SIDE = 16_384;

export function emptyPicture(width: number, height: number, [r, g, b]: Colour = [255, 255, 255], alpha = 255): Picture {
  if (![width, height].every((side) => Number.isInteger(side) && side >= 1 && side <= MAX_SIDE)) {
    throw new CodaError({
      kind: 'argument',
      where: 'picture: size',
      problem: 'not the size of a picture',
      expected: `whole sides from 1 to ${MAX_SIDE}`,
      got: `${width}×${height}`,
    });
  }
  const data = new Uint8Array(4 * width * height);
  for (let i = 0; i < data.length; i += 4) data.set([r, g, b, alpha], i);
  return { width, height, data };
}

/** An image [H, W, 3] in [0, 1] as a picture; values outside are clamped. */
export function pictureOf(image: NdArray<'float32'>): Picture {
  const [height, width, channels] = image.shape;
  if (image.shape.length !== 3 || height === undefined || width === undefined || channels !== 3) {
    throw new CodaError({
      kind: 'argument',
      where: 'pictureOf: image',
      problem: 'not an image',
      expected: 'shape [H, W, 3]',
      got: `[${image.shape.join(', ')}]`,
    });
  }
  const picture = emptyPicture(width, height);
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < 3; c++) picture.data[4 * p + c] = byteOf(image.data[3 * p + c] as number);
  }
  return picture;
}

/** [0, 1] → 0 … 255; NaN is 0. */
export function byteOf(x: number): number {
  return x > 0 ? Math.round(255 * Math.min(1, x)) : 0;
}

/** Each pixel becomes a block of factor × factor. */
export function enlarged(picture: Picture, factor: number): Picture {
  const { width, height } = picture;
  const result = emptyPicture(width * factor, height * factor);
  for (let y = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++) {
      const from = 4 * (Math.floor(y / factor) * width + Math.floor(x / factor));
      result.data.set(picture.data.subarray(from, from + 4), 4 * (y * result.width + x));
    }
  }
  return result;
}

/** Copies `picture` into `into` with its upper left corner at (left, top), alpha blended. It must fit. */
export function paste(into: Picture, picture: Picture, left: number, top: number): void {
  for (let y = 0; y < picture.height; y++) {
    for (let x = 0; x < picture.width; x++) {
      const from = 4 * (y * picture.width + x);
      const to = 4 * ((top + y) * into.width + left + x);
      const alpha = (picture.data[from + 3] as number) / 255;
      for (let c = 0; c < 3; c++) {
        into.data[to + c] = Math.round(alpha * (picture.data[from + c] as number) + (1 - alpha) * (into.data[to + c] as number));
      }
      into.data[to + 3] = Math.max(into.data[to + 3] as number, picture.data[from + 3] as number);
    }
  }
}
