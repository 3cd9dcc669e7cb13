/**
 * Operations that blend an image with a degenerate one, in place: v ← d + f·(v − d), cut to 0 … 255 and towards 0. At f = 0 it is the degenerate, at 1
 * the image, beyond 1 the opposite. As in Pillow's ImageEnhance (Haeberli and Voorhies, "Image Processing by Interpolation and Extrapolation", 1994).
 */
import { lookUp, luma, type Pixels } from './pixels.ts';

/** d = 0: black. */
export function brightness(image: Pixels, factor: number): void {
  const table = blendTable(0, factor);
  lookUp(image, [table, table, table]);
}

/** d = the mean luma of the image, rounded. */
export function contrast(image: Pixels, factor: number): void {
  const { data } = image;
  let sum = 0;
  for (let i = 0; i < data.length; i += 3) sum += luma(data[i] as number, data[i + 1] as number, data[i + 2] as number);
  const table = blendTable(Math.floor(sum / (data.length / 3) + 0.5), factor);
  lookUp(image, [table, table, table]);
}

/** d = the luma of the pixel. */
export function colour({ data }: Pixels, factor: number): void {
  const f = Math.fround(factor);
  for (let i = 0; i < data.length; i += 3) {
    const grey = luma(data[i] as number, data[i + 1] as number, data[i + 2] as number);
    for (let c = i; c < i + 3; c++) data[c] = blend(grey, data[c] as number, f);
  }
}

/** d = the image smoothed by [1 1 1; 1 5 1; 1 1 1] / 13, rounded; the outermost pixels stay. */
export function sharpness({ height, width, data }: Pixels, factor: number): void {
  const f = Math.fround(factor);
  const before = data.slice();
  const row = width * 3;
  for (let y = 1; y < height - 1; y++) {
    for (let i = y * row + 3; i < (y + 1) * row - 3; i++) {
      const [above, below] = [i - row, i + row];
      const sum =
        (before[above - 3] as number) +
        (before[above] as number) +
        (before[above + 3] as number) +
        (before[i - 3] as number) +
        5 * (before[i] as number) +
        (before[i + 3] as number) +
        (before[below - 3] as number) +
        (before[below] as number) +
        (before[below + 3] as number);
      data[i] = blend(Math.floor(sum / 13 + 0.5), before[i] as number, f);
    }
  }
}

function blendTable(degenerate: number, factor: number): Uint8Array {
  const f = Math.fround(factor);
  return Uint8Array.from({ length: 256 }, (_, v) => blend(degenerate, v, f));
}

/** In float32, as Pillow: what is a whole number there must not be cut to the one below here. */
function blend(degenerate: number, value: number, factor: number): number {
  const mixed = Math.fround(degenerate + Math.fround(factor * (value - degenerate)));
  return mixed <= 0 ? 0 : mixed >= 255 ? 255 : Math.trunc(mixed);
}
