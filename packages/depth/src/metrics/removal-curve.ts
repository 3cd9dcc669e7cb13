/** The score as positions are taken away from an activation, or put into an empty one, in the order a map gives: the common part of three metrics. */
import { CodaError, type NdArray } from '@coda-nets/core';
import { overSamples } from '../methods/over-samples.ts';
import { scores, type ScoreKind, type TapModel } from '../tap-model.ts';

export interface RemovalCurveOptions {
  /** At the tap that is changed; `input` for pixels: after the encoding, so that a removed one is 0 in all channels. */
  readonly model: TapModel;
  /** [N, h, w, C], as `model.activations` gives them. */
  readonly activations: NdArray<'float32'>;
  /** [N]: the class whose score is watched. */
  readonly targets: Int32Array;
  /** [N, h, w]: attributions, channels summed, signed. */
  readonly maps: NdArray<'float32'>;
  /** Which positions come first. Of equal ones the earlier in reading order. */
  readonly order: 'least' | 'most';
  /** For each point, how many positions are changed. */
  readonly counts: readonly number[];
  /** `remove` sets them to 0, `insert` sets all others to 0. */
  readonly change: 'remove' | 'insert';
  readonly score: ScoreKind;
}

/** [N][points] */
export async function removalCurves(options: RemovalCurveOptions): Promise<readonly (readonly number[])[]> {
  const { model, activations, targets, maps, order, counts, change, score } = options;
  const [images = 0, h = 0, w = 0, channels = 0] = activations.shape;
  if (maps.shape.join() !== [images, h, w].join() || targets.length !== images) {
    throw new CodaError({
      kind: 'argument',
      where: 'removalCurves: maps',
      problem: 'not one map of the tap’s size for each image',
      expected: `[${images}, ${h}, ${w}] and ${images} targets`,
      got: `[${maps.shape.join(', ')}] and ${targets.length}`,
    });
  }
  const places = h * w;
  const ranks = Array.from({ length: images }, (_, n) => ranked(maps.data.subarray(n * places, (n + 1) * places), order));
  const curves: number[][] = Array.from({ length: images }, () => []);
  await overSamples({
    model,
    activations,
    samples: counts.length,
    draw: (s) => counts[s] as number,
    perturb: (row, count, n) => {
      const rank = ranks[n] as Uint32Array;
      for (const p of change === 'remove' ? rank.subarray(0, count) : rank.subarray(count)) row.fill(0, p * channels, (p + 1) * channels);
    },
    ask: scores,
    output: score,
    visit: (answer, _, n) => curves[n]?.push(answer[targets[n] as number] as number),
  });
  return curves;
}

function ranked(map: Float32Array, order: 'least' | 'most'): Uint32Array {
  const sign = order === 'least' ? 1 : -1;
  return Uint32Array.from(map.keys()).sort((p, q) => sign * ((map[p] as number) - (map[q] as number)) || p - q);
}

/** The curves' mean at each point. */
export function meanCurve(curves: readonly (readonly number[])[]): readonly number[] {
  return (curves[0] ?? []).map((_, i) => curves.reduce((sum, curve) => sum + (curve[i] as number), 0) / curves.length);
}
