/**
 * Mixup (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al., arXiv 1905.04899) of a batch, in place: x_i ← λ x_i + (1 − λ) x_π(i), or a box of x_i is
 * that of x_π(i); the label is λ of the own one and 1 − λ of the partner's. λ ~ Beta(α, α) is drawn once a batch, π is a random permutation; after a
 * cut λ is the share of pixels that stayed.
 */
import type { Random } from '@coda-nets/core';

export interface MixOptions {
  /** α of mixup; 0: none. */
  readonly mixup: number;
  /** α of CutMix; 0: none. With both, each batch gets one of them, either half of the time. */
  readonly cutmix: number;
}

export interface Mixed {
  /** π */
  readonly partners: Uint32Array;
  /** λ: the weight of each image's own label. */
  readonly weight: number;
}

/** images [n, H, W, C] */
export function mixImages(
  images: Float32Array,
  [n, height, width, channels]: readonly [number, number, number, number],
  { mixup, cutmix }: MixOptions,
  random: Random,
): Mixed {
  const cut = cutmix > 0 && (mixup === 0 || random.uint32() >= 0x8000_0000);
  const lambda = beta(cut ? cutmix : mixup, random);
  const partners = random.permutation(n);
  const before = images.slice();
  const size = height * width * channels;
  if (!cut) {
    for (let i = 0; i < n; i++) {
      const from = (partners[i] as number) * size;
      for (let k = 0; k < size; k++) {
        images[i * size + k] = lambda * (before[i * size + k] as number) + (1 - lambda) * (before[from + k] as number);
      }
    }
    return { partners, weight: lambda };
  }
  const side = Math.sqrt(1 - lambda);
  const [h, w] = [Math.floor(height * side), Math.floor(width * side)];
  const [y, x] = [random.below(height), random.below(width)];
  const [top, left] = [Math.max(0, y - (h >> 1)), Math.max(0, x - (w >> 1))];
  const [bottom, right] = [Math.min(height, y + (h >> 1)), Math.min(width, x + (w >> 1))];
  for (let i = 0; i < n; i++) {
    const from = (partners[i] as number) * size;
    for (let row = top; row < bottom; row++) {
      const [first, end] = [(row * width + left) * channels, (row * width + right) * channels];
      images.set(before.subarray(from + first, from + end), i * size + first);
    }
  }
  return { partners, weight: 1 - ((bottom - top) * (right - left)) / (height * width) };
}

/** Beta(α, α) as X / (X + Y) of two Gamma(α). */
export function beta(alpha: number, random: Random): number {
  const [x, y] = [gamma(alpha, random), gamma(alpha, random)];
  // both underflow for tiny α, where Beta has its mass at the ends
  return x + y === 0 ? random.below(2) : x / (x + y);
}

/** Gamma(α, 1) (Marsaglia and Tsang, ACM TOMS 26(3), 2000; α < 1 as their section 6). */
function gamma(alpha: number, random: Random): number {
  if (alpha < 1) return gamma(alpha + 1, random) * (1 - random.uniform()) ** (1 / alpha);
  const d = alpha - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.uniform()) < x * x * 0.5 + d - d * v + d * Math.log(v)) return d * v;
  }
}
