/**
 * A contribution map as a picture: red speaks for the class, blue against it, white is nothing. The scale is symmetric about zero, so that
 * equal colours are equal amounts; it is part of what a picture means, so it can be given, to compare pictures.
 */
import { CodaError, ndArray, type NdArray } from '@coda-nets/core';
import { absolutePercentile } from './percentile.ts';
import { byteOf, emptyPicture, type Colour, type Picture } from './picture.ts';
import { mapSize, resizeMap, type Interpolation } from './resize-map.ts';

export interface HeatMapOptions {
  /** Default: the map's own. */
  readonly width?: number;
  readonly height?: number;
  /** The contribution that gets the full colour; default: the percentile of |map|. */
  readonly scale?: number;
  /** In percent. Default 99.5: the largest few places may saturate. */
  readonly percentile?: number;
  /** Default nearest, which shows the map's own resolution. */
  readonly interpolation?: Interpolation;
}

/** −1, −½, 0, ½, 1; between them linear in sRGB. */
const STOPS: readonly Colour[] = [
  [16, 58, 148],
  [96, 156, 222],
  [255, 255, 255],
  [240, 130, 104],
  [168, 12, 40],
];

/** The colour of v in [−1, 1]; outside it is clamped. */
export function divergingColour(v: number): Colour {
  const position = 2 * (Math.min(1, Math.max(-1, v)) + 1);
  const below = Math.min(3, Math.floor(position));
  const share = position - below;
  const [low, high] = [STOPS[below] as Colour, STOPS[below + 1] as Colour];
  return [0, 1, 2].map((c) => Math.round((1 - share) * (low[c] as number) + share * (high[c] as number))) as unknown as Colour;
}

/** What full colour stands for: the percentile, the largest magnitude where that is 0, and 1 for a map of zeros. */
export function heatMapScale(map: NdArray<'float32'>, percentile = 99.5): number {
  return absolutePercentile(map.data, percentile) || absolutePercentile(map.data, 100) || 1;
}

/** One scale for several maps, so that their colours compare: as `heatMapScale` of all their values together. Frames of a sequence have it in common. */
export function sharedScale(maps: readonly NdArray<'float32'>[], percentile = 99.5): number {
  const data = new Float32Array(maps.reduce((sum, map) => sum + map.data.length, 0));
  let offset = 0;
  for (const map of maps) {
    data.set(map.data, offset);
    offset += map.data.length;
  }
  return heatMapScale(ndArray('float32', [data.length], data), percentile);
}

/** A map [h, w] as an opaque picture. */
export function heatMap(map: NdArray<'float32'>, options: HeatMapOptions = {}): Picture {
  const [h, w] = mapSize(map, 'heatMap');
  const { width = w, height = h, percentile = 99.5, interpolation = 'nearest' } = options;
  const scale = options.scale ?? heatMapScale(map, percentile);
  checkScale(scale);
  const picture = emptyPicture(width, height);
  const { data } = resizeMap(map, height, width, interpolation);
  for (const [p, value] of data.entries()) picture.data.set(divergingColour(value / scale), 4 * p);
  return picture;
}

export interface OverlayOptions extends Omit<HeatMapOptions, 'width' | 'height'> {
  /** Of the strongest place, in [0, 1]. Default 0.85. */
  readonly opacity?: number;
}

/** The map over a grey version of its image: colour where there is contribution, the picture where there is none. */
export function overlay(image: Picture, map: NdArray<'float32'>, options: OverlayOptions = {}): Picture {
  const { opacity = 0.85, interpolation = 'bilinear', percentile = 99.5 } = options;
  const scale = options.scale ?? heatMapScale(map, percentile);
  checkScale(scale);
  const { width, height } = image;
  const { data } = resizeMap(map, height, width, interpolation);
  const picture = emptyPicture(width, height);
  for (const [p, value] of data.entries()) {
    const strength = Math.min(1, Math.abs(value) / scale);
    const colour = divergingColour(Math.sign(value) * (0.5 + 0.5 * strength));
    const [r, g, b] = image.data.subarray(4 * p, 4 * p + 3) as unknown as Colour;
    // Rec. 709 luma; lifted towards white, so that both colours stand out on dark pictures.
    const grey = 0.25 + 0.75 * ((0.2126 * r + 0.7152 * g + 0.0722 * b) / 255);
    const alpha = opacity * strength;
    for (let c = 0; c < 3; c++) {
      picture.data[4 * p + c] = byteOf(alpha * ((colour[c] as number) / 255) + (1 - alpha) * grey);
    }
  }
  return picture;
}

function checkScale(scale: number): void {
  if (scale > 0 && scale < Infinity) return;
  throw new CodaError({
    kind: 'argument',
    where: 'heatMap: scale',
    problem: 'not a scale',
    expected: 'a finite number above 0',
    got: String(scale),
  });
}
