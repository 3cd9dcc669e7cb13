/**
 * Operations that move pixels, and those that paint over a part. What comes in from outside is black. Nearest neighbour, as in the published
 * implementations of AutoAugment and its successors: a pixel's centre is mapped back, and the pixel it falls into is taken.
 */
import type { Pixels } from './pixels.ts';

/** [a b c; d e f]: the place (x, y) of the result comes from (a x + b y + c, d x + e y + f). */
type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** Around the middle, counter-clockwise, in degrees. */
export function rotate(image: Pixels, degrees: number): Pixels {
  const angle = (-degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [x, y] = [image.width / 2, image.height / 2];
  return transform(image, [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y]);
}

/** (x, y) ← (x + s·y, y). */
export function shearX(image: Pixels, shear: number): Pixels {
  return transform(image, [1, shear, 0, 0, 1, 0]);
}

/** (x, y) ← (x, y + s·x). */
export function shearY(image: Pixels, shear: number): Pixels {
  return transform(image, [1, 0, 0, shear, 1, 0]);
}

/** (x, y) ← (x + p, y). */
export function translateX(image: Pixels, pixels: number): Pixels {
  return transform(image, [1, 0, pixels, 0, 1, 0]);
}

/** (x, y) ← (x, y + p). */
export function translateY(image: Pixels, pixels: number): Pixels {
  return transform(image, [1, 0, 0, 0, 1, pixels]);
}

function transform({ height, width, data }: Pixels, [a, b, c, d, e, f]: Affine): Pixels {
  const moved = new Uint8Array(data.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const fromX = Math.floor(a * (x + 0.5) + b * (y + 0.5) + c);
      const fromY = Math.floor(d * (x + 0.5) + e * (y + 0.5) + f);
      if (fromX < 0 || fromX >= width || fromY < 0 || fromY >= height) continue;
      const from = (fromY * width + fromX) * 3;
      moved[to] = data[from] as number;
      moved[to + 1] = data[from + 1] as number;
      moved[to + 2] = data[from + 2] as number;
    }
  }
  return { height, width, data: moved };
}

export interface Box {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** Paints the box in one colour, or value by value with what `colour` gives. In place. */
export function paint({ width, data }: Pixels, box: Box, colour: readonly [number, number, number] | (() => number)): void {
  for (let y = box.top; y < box.top + box.height; y++) {
    for (let x = box.left; x < box.left + box.width; x++) {
      const at = (y * width + x) * 3;
      for (let c = 0; c < 3; c++) data[at + c] = typeof colour === 'function' ? colour() : (colour[c] as number);
    }
  }
}

/**
 * The square of side `side` around (x, y), what of it is inside, painted in the mean colour of ImageNet (DeVries and Taylor, arXiv 1708.04552; the
 * grey of AutoAugment's implementations).
 */
export function cutout(image: Pixels, side: number, x: number, y: number): void {
  const left = Math.floor(Math.max(0, x - side / 2));
  const top = Math.floor(Math.max(0, y - side / 2));
  const right = Math.floor(Math.min(image.width, left + side));
  const bottom = Math.floor(Math.min(image.height, top + side));
  paint(image, { top, left, height: Math.max(0, bottom - top), width: Math.max(0, right - left) }, [125, 123, 114]);
}
