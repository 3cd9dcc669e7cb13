/**
 * A linear map to six channels [r, g, b, 1−r, 1−g, 1−b] as a picture in colour: what the network looked for, where it speaks for the class.
 * After the B-cos networks' rendering (Böhle, Fritz, Schiele, CVPR 2022), from its description:
 *     ŵ = max(0, w / max|w|)      colour_i = ŵ_i / (ŵ_i + ŵ_{i+3})      alpha = min(1, smooth(‖w‖ where Σ w ⊙ x ≥ 0, else 0) / P₉₉.₅)
 */
import { CodaError, type NdArray } from '@coda-nets/core';
import { boxMean, checkBoxSide } from './box-mean.ts';
import { absolutePercentile } from './percentile.ts';
import { byteOf, emptyPicture, type Picture } from './picture.ts';

export interface LinearMapPictureOptions {
  /** Side of the box that smooths alpha, odd. Default 15 at 224 pixels and in proportion, at least 1. */
  readonly smooth?: number;
  /** In percent. Default 99.5. */
  readonly percentile?: number;
}

/** linearMap [H, W, 6] and contributions [H, W] (summed over channels) of one logit → a picture with alpha. */
export function linearMapPicture(
  linearMap: NdArray<'float32'>,
  contributions: NdArray<'float32'>,
  options: LinearMapPictureOptions = {},
): Picture {
  const [height, width, channels] = linearMap.shape;
  if (linearMap.shape.length !== 3 || height === undefined || width === undefined || channels !== 6) {
    throw shapeError('linearMap', '[H, W, 6]', linearMap.shape);
  }
  if (contributions.shape.join() !== [height, width].join()) {
    throw shapeError('contributions', `[${height}, ${width}]`, contributions.shape);
  }
  const { percentile = 99.5, smooth = defaultSmooth(width) } = options;
  checkBoxSide(smooth, 'linearMapPicture: smooth');
  const picture = emptyPicture(width, height);
  const strength = new Float64Array(width * height);
  for (let p = 0; p < strength.length; p++) {
    const w = linearMap.data.subarray(6 * p, 6 * p + 6);
    if ((contributions.data[p] as number) >= 0) strength[p] = Math.hypot(...w);
    const largest = w.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    for (let c = 0; c < 3; c++) {
      const [light, dark] = [Math.max(0, w[c] as number), Math.max(0, w[c + 3] as number)];
      // Dividing first keeps tiny weights from vanishing in the ratio; where neither speaks, grey says neither.
      const total = largest === 0 ? 0 : light / largest + dark / largest;
      picture.data[4 * p + c] = total === 0 ? 128 : byteOf(light / largest / total);
    }
  }
  const alpha = boxMean(strength, height, width, smooth);
  const scale = absolutePercentile(alpha, percentile) || absolutePercentile(alpha, 100) || 1;
  for (const [p, a] of alpha.entries()) picture.data[4 * p + 3] = byteOf(a / scale);
  return picture;
}

function defaultSmooth(width: number): number {
  return 2 * Math.max(0, Math.round(((15 / 224) * width - 1) / 2)) + 1;
}

function shapeError(argument: string, expected: string, got: readonly number[]): CodaError {
  return new CodaError({
    kind: 'argument',
    where: `linearMapPicture: ${argument}`,
    problem: 'wrong shape',
    expected,
    got: `[${got.join(', ')}]`,
  });
}
