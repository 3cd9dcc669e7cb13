/** How an image becomes a network's input, as data that travels with the weights. Mean and deviation sit inside the network. */
import * as v from 'valibot';

/** No network here takes an image of a side this long. */
const maxSide = 16_384;

const side = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxSide));

export const preprocessingSchema = v.strictObject({
  size: v.tuple([side, side]),
  layout: v.literal('rgb'),
  range: v.tuple([v.literal(0), v.literal(1)]),
  resize: v.optional(side),
  interpolation: v.optional(v.picklist(['bilinear', 'bicubic'])),
});

export interface Preprocessing {
  /** Pixels the network gets: an image is scaled until it just covers them, and the middle is cut out. */
  readonly size: readonly [height: number, width: number];
  /** The order of the channels, last in memory: [H, W, 3]. */
  readonly layout: 'rgb';
  /** What the darkest and brightest values become. */
  readonly range: readonly [0, 1];
  /** Pixels of the shorter side that an image is scaled to before the middle is cut out; where not given, as few as cover `size`. */
  readonly resize?: number | undefined;
  /** How it is scaled, with anti-aliasing; where not given, bilinearly. */
  readonly interpolation?: 'bilinear' | 'bicubic' | undefined;
}
