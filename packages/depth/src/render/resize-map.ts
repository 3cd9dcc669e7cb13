/** Brings a map [h, w] to another size, nearest or bilinear with half-pixel centres (as `align_corners=False` elsewhere). No antialiasing. */
import { CodaError, ndArray, type NdArray } from '@coda-nets/core';

export type Interpolation = 'nearest' | 'bilinear';

/** A map [h, w] → [height, width]. */
export function resizeMap(
  map: NdArray<'float32'>,
  height: number,
  width: number,
  interpolation: Interpolation = 'bilinear',
): NdArray<'float32'> {
  const [h, w] = mapSize(map, 'resizeMap');
  const rows = interpolation === 'nearest' ? nearest(h, height) : bilinear(h, height);
  const columns = interpolation === 'nearest' ? nearest(w, width) : bilinear(w, width);
  const data = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = rows[y] as Place;
    for (let x = 0; x < width; x++) {
      const [left, right, along] = columns[x] as Place;
      const at = (i: number, j: number): number => map.data[i * w + j] as number;
      const upper = (1 - along) * at(top, left) + along * at(top, right);
      const lower = (1 - along) * at(bottom, left) + along * at(bottom, right);
      data[y * width + x] = (1 - down) * upper + down * lower;
    }
  }
  return ndArray('float32', [height, width], data);
}

/** [h, w] of a map that has at least one place and finite values alone; throws otherwise. */
export function mapSize(map: NdArray<'float32'>, where: string): readonly [number, number] {
  const [h, w] = map.shape;
  if (map.shape.length !== 2 || h === undefined || w === undefined || h < 1 || w < 1) {
    throw new CodaError({
      kind: 'argument',
      where: `${where}: map`,
      problem: 'not a map',
      expected: 'shape [h, w]',
      got: `[${map.shape.join(', ')}]`,
    });
  }
  const bad = map.data.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0) {
    throw new CodaError({
      kind: 'argument',
      where: `${where}: map`,
      problem: `the value at [${Math.floor(bad / w)}, ${bad % w}] cannot be drawn`,
      expected: 'finite numbers',
      got: String(map.data[bad]),
    });
  }
  return [h, w];
}

/** Two neighbours and the share of the second. */
type Place = readonly [number, number, number];

function nearest(from: number, to: number): Place[] {
  return Array.from({ length: to }, (_, i) => {
    const j = Math.min(from - 1, Math.floor(((i + 0.5) * from) / to));
    return [j, j, 0];
  });
}

function bilinear(from: number, to: number): Place[] {
  return Array.from({ length: to }, (_, i) => {
    const position = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
    const first = Math.floor(position);
    return [first, Math.min(from - 1, first + 1), position - first];
  });
}
