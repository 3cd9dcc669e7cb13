/**
 * Superpixels by quick shift (Vedaldi and Soatto, ECCV 2008): places climb to their nearest neighbour of higher density, and the trees of that
 * are the segments. What LIME cuts images into.
 */
import { CodaError } from '@coda-nets/core';

export interface QuickshiftOptions {
  /** σ of the density in positions. Default 4, as LIME has it; places farther than 3σ do not see each other. */
  readonly kernelSize?: number;
  /** Longest link, in positions and scaled values together; a place without a neighbour that near begins a segment. Default 10. */
  readonly maxDistance?: number;
  /** What a value counts beside a position: features are (y, x, ratio · value). Default 20, for values in [0, 1]. */
  readonly ratio?: number;
}

/**
 *     density_p = Σ_q exp(−‖f_p − f_q‖² / 2σ²)          parent_p = argmin_q ‖f_p − f_q‖ over q with a higher density, of equal ones the earlier
 *
 * values [h·w·C] → the segment of each place, numbered in reading order; how many there are. How we differ from scikit-image's: values as they come and not in
 * Lab, and equal densities broken by order and not by noise, so that the answer is one.
 */
export function quickshift(
  values: ArrayLike<number>,
  [height, width, channels]: readonly [number, number, number],
  { kernelSize = 4, maxDistance = 10, ratio = 20 }: QuickshiftOptions = {},
): { readonly segments: Uint32Array; readonly count: number } {
  for (const [name, value] of Object.entries({ kernelSize, maxDistance, ratio })) {
    if (value > 0 && Number.isFinite(value)) continue;
    throw new CodaError({
      kind: 'argument',
      where: `quickshift: ${name}`,
      problem: 'not above 0',
      expected: 'a finite number above 0',
      got: String(value),
    });
  }
  const reach = Math.ceil(3 * kernelSize);
  const places = height * width;
  const squared = (p: number, q: number): number => {
    const [dy, dx] = [Math.floor(p / width) - Math.floor(q / width), (p % width) - (q % width)];
    let sum = dy * dy + dx * dx;
    for (let c = 0; c < channels; c++) sum += (ratio * ((values[p * channels + c] as number) - (values[q * channels + c] as number))) ** 2;
    return sum;
  };
  const near = (p: number, visit: (q: number) => void): void => {
    const [y, x] = [Math.floor(p / width), p % width];
    for (let v = Math.max(0, y - reach); v <= Math.min(height - 1, y + reach); v++) {
      for (let u = Math.max(0, x - reach); u <= Math.min(width - 1, x + reach); u++) visit(v * width + u);
    }
  };
  const density = new Float64Array(places);
  for (let p = 0; p < places; p++) near(p, (q) => ((density[p] as number) += Math.exp(-squared(p, q) / (2 * kernelSize ** 2))));
  const higher = (q: number, p: number): boolean => {
    const [a, b] = [density[q] as number, density[p] as number];
    return a > b || (a === b && q < p);
  };
  const parent = Uint32Array.from({ length: places }, (_, p) => {
    let [best, distance] = [p, maxDistance ** 2];
    near(p, (q) => {
      if (q === p || !higher(q, p)) return;
      const d = squared(p, q);
      if (d < distance) [best, distance] = [q, d];
    });
    return best;
  });
  const rootOf = (p: number): number => {
    let root = p;
    while (parent[root] !== root) root = parent[root] as number;
    return root;
  };
  const numbers = new Map<number, number>();
  const segments = Uint32Array.from({ length: places }, (_, p) => {
    const root = rootOf(p);
    const number = numbers.get(root) ?? numbers.size;
    numbers.set(root, number);
    return number;
  });
  return { segments, count: numbers.size };
}
