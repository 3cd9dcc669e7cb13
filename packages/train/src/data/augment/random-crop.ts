/** Where a window is cut out of an image. Chooses; cuts nothing. */
import type { Random } from '@coda-nets/core';
import type { Box } from './shape-operations.ts';

/** Draws that may not fit before the middle is taken. */
const tries = 10;

/**
 * A window of a random share of the area and a random ratio of width to height, at a random place: share uniform in `scale`, ratio log-uniform in
 * `ratio` (Szegedy et al., arXiv 1409.4842, section 6). Where ten draws do not fit in, the largest middle whose ratio is allowed.
 */
export function randomResizedCrop(
  height: number,
  width: number,
  scale: readonly [number, number],
  ratio: readonly [number, number],
  random: Random,
): Box {
  const [least, most] = [Math.log(ratio[0]), Math.log(ratio[1])];
  for (let n = 0; n < tries; n++) {
    const area = height * width * (scale[0] + random.uniform() * (scale[1] - scale[0]));
    const aspect = Math.exp(least + random.uniform() * (most - least));
    const [w, h] = [Math.round(Math.sqrt(area * aspect)), Math.round(Math.sqrt(area / aspect))];
    if (w < 1 || h < 1 || w > width || h > height) continue;
    return { top: random.below(height - h + 1), left: random.below(width - w + 1), height: h, width: w };
  }
  const own = width / height;
  const w = own > ratio[1] ? Math.max(1, Math.round(height * ratio[1])) : width;
  const h = own < ratio[0] ? Math.max(1, Math.round(width / ratio[0])) : height;
  return { top: (height - h) >> 1, left: (width - w) >> 1, height: h, width: w };
}

/** The box that random erasing paints, or none (Zhong et al., arXiv 1708.04896, algorithm 1): share uniform in `area`, ratio log-uniform in `ratio`. */
export function erasedBox(
  height: number,
  width: number,
  area: readonly [number, number],
  ratio: readonly [number, number],
  random: Random,
): Box | undefined {
  const [least, most] = [Math.log(ratio[0]), Math.log(ratio[1])];
  for (let n = 0; n < tries; n++) {
    const share = height * width * (area[0] + random.uniform() * (area[1] - area[0]));
    const aspect = Math.exp(least + random.uniform() * (most - least));
    const [h, w] = [Math.round(Math.sqrt(share * aspect)), Math.round(Math.sqrt(share / aspect))];
    if (h < 1 || w < 1 || h >= height || w >= width) continue;
    return { top: random.below(height - h + 1), left: random.below(width - w + 1), height: h, width: w };
  }
  return undefined;
}
