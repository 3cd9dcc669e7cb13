/** The energy-based pointing game: which share of the positive attribution lies where it should (Wang et al., arXiv 1910.01279, section 4.3). */
import { CodaError, type NdArray } from '@coda-nets/core';
import { mapSize } from '../render/resize-map.ts';

/** A rectangle of positions: rows top … top + height − 1, columns left … left + width − 1. */
export interface Region {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/**
 *     Σ_{p in region} max(0, A(p)) / Σ_p max(0, A(p)),     0 where the total is 0
 *
 * Unit: a share. Range [0, 1]; higher is better; a uniform map scores the region's share of the area. Assumes that channels are summed already
 * and that what speaks for the class is positive; negative attribution does not count. `map` [h, w].
 */
export function energyPointingGame(map: NdArray<'float32'>, region: Region): number {
  const [h, w] = mapSize(map, 'energyPointingGame');
  const { top, left, height, width } = region;
  const fits = [top, left, height, width].every(Number.isInteger) && top >= 0 && left >= 0 && top + height <= h && left + width <= w;
  if (!fits || height < 1 || width < 1) {
    throw new CodaError({
      kind: 'argument',
      where: 'energyPointingGame: region',
      problem: 'not inside the map',
      expected: `whole positions of [${h}, ${w}]`,
      got: JSON.stringify(region),
    });
  }
  let inside = 0;
  let total = 0;
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const positive = Math.max(0, map.data[y * w + x] as number);
      total += positive;
      if (y >= top && y < top + height && x >= left && x < left + width) inside += positive;
    }
  }
  return total === 0 ? 0 : inside / total;
}
