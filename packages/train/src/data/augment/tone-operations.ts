/**
 * Operations on an image that look at each value alone, or at a channel's histogram: in place. The names and the arithmetic are those of Pillow's
 * ImageOps, on which AutoAugment (Cubuk et al., arXiv 1805.09501, table 6) and everything after it rests.
 */
import { lookUp, type Pixels } from './pixels.ts';

const identity = Uint8Array.from({ length: 256 }, (_, v) => v);

/** The darkest value of each channel becomes 0, the brightest 255: v ← ⌊(v − lo)·255 / (hi − lo)⌋. A channel of one value stays. */
export function autoContrast(image: Pixels): void {
  const histograms = histogramsOf(image);
  lookUp(image, perChannel(histograms, autoContrastTable));
}

function autoContrastTable(histogram: Uint32Array): Uint8Array {
  const lo = histogram.findIndex((n) => n > 0);
  const hi = histogram.findLastIndex((n) => n > 0);
  if (hi <= lo) return identity;
  const scale = 255 / (hi - lo);
  return table((v) => v * scale - lo * scale);
}

/** Each channel's histogram becomes as flat as it goes: v ← ⌊(s/2 + how many values are below v) / s⌋, s = ⌊(count − count of the brightest) / 255⌋. */
export function equalize(image: Pixels): void {
  lookUp(image, perChannel(histogramsOf(image), equalizeTable));
}

function equalizeTable(histogram: Uint32Array): Uint8Array {
  const brightest = histogram.findLastIndex((n) => n > 0);
  const count = histogram.reduce((sum, n) => sum + n, 0);
  const step = Math.floor((count - (histogram[brightest] as number)) / 255);
  if (step === 0) return identity;
  let below = step >> 1;
  return table((v) => {
    const value = Math.floor(below / step);
    below += histogram[v] as number;
    return value;
  });
}

/** v ← 255 − v. */
export function invert(image: Pixels): void {
  lookUp(
    image,
    same((v) => 255 - v),
  );
}

/** Keeps the upper `bits` bits of each value, 0 to 8. */
export function posterize(image: Pixels, bits: number): void {
  const mask = 0xff & ~(2 ** (8 - bits) - 1);
  lookUp(
    image,
    same((v) => v & mask),
  );
}

/** v ← 255 − v from `threshold` on. */
export function solarize(image: Pixels, threshold: number): void {
  lookUp(
    image,
    same((v) => (v < threshold ? v : 255 - v)),
  );
}

/** v ← v + `addition`, at most 255, below 128. */
export function solarizeAdd(image: Pixels, addition: number): void {
  lookUp(
    image,
    same((v) => (v < 128 ? v + addition : v)),
  );
}

function same(of: (v: number) => number): readonly [Uint8Array, Uint8Array, Uint8Array] {
  const all = table(of);
  return [all, all, all];
}

function perChannel(
  [red, green, blue]: readonly [Uint32Array, Uint32Array, Uint32Array],
  of: (histogram: Uint32Array) => Uint8Array,
): readonly [Uint8Array, Uint8Array, Uint8Array] {
  return [of(red), of(green), of(blue)];
}

function table(of: (v: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, v) => Math.min(255, Math.max(0, Math.trunc(of(v)))));
}

function histogramsOf({ data }: Pixels): readonly [Uint32Array, Uint32Array, Uint32Array] {
  const counts = [new Uint32Array(256), new Uint32Array(256), new Uint32Array(256)] as const;
  const [red, green, blue] = counts;
  for (let i = 0; i < data.length; i += 3) {
    (red[data[i] as number] as number)++;
    (green[data[i + 1] as number] as number)++;
    (blue[data[i + 2] as number] as number)++;
  }
  return counts;
}
