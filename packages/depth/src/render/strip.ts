/**
 * One image and its maps side by side in one picture, each labelled with its tap and with what it is: `exact` contributions with their
 * residual, or gradient × activation (`grad×act`). For a report with text, see the command line's.
 */
import type { Explanation, TapExplanation } from '../explainer.ts';
import { contactSheet } from './contact-sheet.ts';
import { heatMap, overlay, type HeatMapOptions } from './heat-map.ts';
import { enlarged, type Colour, type Picture } from './picture.ts';

export interface StripOptions extends Pick<HeatMapOptions, 'percentile' | 'interpolation'> {
  /** Side in pixels of each tile's longer side, at least; default 128. The image is enlarged by a whole factor. */
  readonly tile?: number;
  /** Written under the image. */
  readonly label?: string;
  /** Maps over the grey image in place of maps alone. Default false. */
  readonly over?: boolean;
  /** What maps that are not exact are called. Default `grad×act`. */
  readonly kind?: string;
}

const EXACT: Colour = [16, 110, 70];
const INEXACT: Colour = [150, 84, 0];

/** The image, then a tile for each tap from the input to the output. */
export function strip(image: Picture, explanation: Explanation, options: StripOptions = {}): Picture {
  const { tile = 128, label = '', over = false, kind = 'grad×act', percentile = 99.5, interpolation = 'nearest' } = options;
  const first = enlarged(image, Math.max(1, Math.ceil(tile / Math.max(image.width, image.height))));
  const { width, height } = first;
  const tiles = explanation.taps.map((tap) => ({
    picture: over ? overlay(first, tap.map, { percentile, interpolation }) : heatMap(tap.map, { width, height, percentile, interpolation }),
    lines: [{ text: tap.name }, { text: kindOf(tap, kind), colour: tap.exact ? EXACT : INEXACT }],
  }));
  const lines = [{ text: label }, { text: `P ${explanation.probability.toFixed(3)}` }];
  return contactSheet([[{ picture: first, lines }, ...tiles]]);
}

/** `EXACT 2.1E-7` or `GRAD×ACT`: what the numbers of a tap are. */
function kindOf({ exact, residual }: TapExplanation, kind: string): string {
  return exact ? `exact ${residual.toExponential(1)}` : kind;
}
