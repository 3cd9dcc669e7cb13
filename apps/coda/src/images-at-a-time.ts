/** How many images one call of an engine takes, so that memory does not grow with their size. */

/** 64 images of 32 × 32, or one of 240 × 240, for which an L-CoDA has 0.38 GB of products of units and ranks alone. */
const PIXELS = 65_536;

/** At most `most` images [height, width]; at least one. */
export function imagesAtATime(height: number, width: number, most: number): number {
  return Math.max(1, Math.min(most, Math.floor(PIXELS / (height * width))));
}
