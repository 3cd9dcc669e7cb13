/** All methods at all taps in one picture: a row for each method, a column for each tap, the image in front. Each method's maps may share a scale. */
import type { NdArray } from '@coda-nets/core';
import { contactSheet } from './contact-sheet.ts';
import { heatMap, overlay, sharedScale, type HeatMapOptions } from './heat-map.ts';
import { enlarged, type Picture } from './picture.ts';

export interface MapRow {
  /** Of the method. */
  readonly name: string;
  /** map [h, w] */
  readonly maps: readonly { readonly name: string; readonly map: NdArray<'float32'>; readonly note?: string }[];
}

export interface MapGridOptions extends Pick<HeatMapOptions, 'percentile' | 'interpolation'> {
  /** Side in pixels of each tile's longer side, at least; default 128. The image is enlarged by a whole factor. */
  readonly tile?: number;
  /** Written under the image. */
  readonly label?: string;
  /** `map`: each map has full colour at a percentile of its own. `row`: one scale for all maps of a method. Default map. */
  readonly scale?: 'map' | 'row';
  /** Maps over the grey image in place of maps alone. Default false. */
  readonly over?: boolean;
}

/** The image in every row's first place, with the method's name; then its maps. */
export function mapGrid(image: Picture, rows: readonly MapRow[], options: MapGridOptions = {}): Picture {
  const { tile = 128, label = '', scale = 'map', over = false, percentile = 99.5, interpolation = 'nearest' } = options;
  const first = enlarged(image, Math.max(1, Math.ceil(tile / Math.max(image.width, image.height))));
  const { width, height } = first;
  return contactSheet(
    rows.map(({ name, maps }) => {
      const common =
        scale === 'row'
          ? {
              scale: sharedScale(
                maps.map(({ map }) => map),
                percentile,
              ),
            }
          : { percentile };
      const tiles = maps.map(({ name: tap, map, note = '' }) => ({
        picture: over ? overlay(first, map, { ...common, interpolation }) : heatMap(map, { ...common, width, height, interpolation }),
        lines: [{ text: tap }, { text: note }],
      }));
      return [{ picture: first, lines: [{ text: name }, { text: label }] }, ...tiles];
    }),
  );
}
