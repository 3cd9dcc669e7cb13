/** The inputs: images of Gaussian noise in which four patterns, their leading principal directions, vary more than everything else. */
import type { Random } from '@coda-nets/core';

/** Inputs are images of side × side, d = side² numbers each. */
export const side = 16;

/** Cosines (u, v) over the image: orthonormal, and the variance along each. */
const leading = [
  { u: 1, v: 0, variance: 8 },
  { u: 0, v: 1, variance: 7 },
  { u: 1, v: 1, variance: 6 },
  { u: 2, v: 0, variance: 5 },
] as const;

/** Along every direction: all 256 together vary as much as the patterns. */
const noiseVariance = 0.1;

const wave = (frequency: number, t: number): number =>
  frequency === 0 ? Math.sqrt(1 / side) : Math.sqrt(2 / side) * Math.cos((Math.PI * frequency * (t + 0.5)) / side);

/** The four directions, unit vectors of d numbers, the strongest first. */
export const principalDirections: readonly Float32Array[] = leading.map(({ u, v }) =>
  Float32Array.from({ length: side * side }, (_, i) => wave(u, i % side) * wave(v, Math.floor(i / side))),
);

/** `count` inputs, one after another. */
export function sampleInputs(count: number, random: Random): Float32Array {
  const x = Float32Array.from({ length: count * side * side }, () => Math.sqrt(noiseVariance) * random.normal());
  for (let image = 0; image < count; image++) {
    for (const [p, direction] of principalDirections.entries()) {
      const amount = Math.sqrt(leading[p]?.variance ?? 0) * random.normal();
      for (const [i, q] of direction.entries()) x[image * side * side + i]! += amount * q;
    }
  }
  return x;
}
