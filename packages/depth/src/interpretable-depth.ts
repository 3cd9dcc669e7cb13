/**
 * Interpretable depth as a number: how many taps, counted from the output without a gap, explain the output well. The notion is
 * arXiv 2109.13004's ("increased interpretable depth"); this definition, its threshold and its interval are ours (a reconstruction).
 */
import { CodaError, Random } from '@coda-nets/core';
import type { DepthProfile, TapProfile } from './depth-profile.ts';
import type { Scoring } from './metrics/grid-localisation.ts';
import { quantileOfSorted } from './metrics/summary.ts';

export interface InterpretableDepthOptions {
  /** τ: the median localisation a tap must reach. Default 0.5. */
  readonly threshold?: number;
  /** Default pool where it is defined at every tap, else upsample. */
  readonly scoring?: Scoring;
  /** Bootstrap resamples. Default 1000. */
  readonly resamples?: number;
  /** Of the interval. Default 0.95. */
  readonly confidence?: number;
  /** Default 0. */
  readonly seed?: number;
}

/** JSON-able. */
export type InterpretableDepth = {
  readonly threshold: number;
  readonly scoring: Scoring;
  /** Taps, counted from the output without a gap, whose median localisation is at least τ. */
  readonly taps: number;
  /** Of all taps in the profile. */
  readonly of: number;
  readonly share: number;
  /** The tap nearest to the input that still counts. */
  readonly deepest: string | undefined;
  /** Percentile bootstrap of `taps`, drawing whole grids: the n² values of one grid are not independent. */
  readonly interval: {
    readonly low: number;
    readonly high: number;
    readonly confidence: number;
    readonly resamples: number;
    readonly seed: number;
  };
  /** From the output to the input. */
  readonly curve: readonly { readonly tap: string; readonly median: number }[];
  /** Mean of the curve: 1 for an oracle at every tap, 1/n² for uniform maps. */
  readonly areaUnderCurve: number;
};

export function interpretableDepth(profile: DepthProfile, options: InterpretableDepthOptions = {}): InterpretableDepth {
  const { threshold = 0.5, resamples = 1000, confidence = 0.95, seed = 0 } = options;
  checkProfile(profile);
  const { scoring = profile.taps.every(({ localisation }) => localisation.pool !== null) ? 'pool' : 'upsample' } = options;
  const fromOutput = profile.taps.toReversed();
  const values = fromOutput.map((tap) => valuesOf(tap, scoring));
  const cells = profile.gridList.n ** 2;
  const grids = profile.gridList.grids.length;
  const medians = values.map((x) => median(Float64Array.from(x)));
  const taps = reached(medians, threshold);

  const random = Random.seeded(seed);
  const counts = Array.from({ length: resamples }, () => {
    const drawn = Array.from({ length: grids }, () => random.below(grids));
    // Tap by tap from the output, and no further than the first that fails.
    const failed = values.findIndex((x) => {
      const sample = new Float64Array(grids * cells);
      for (const [i, g] of drawn.entries()) for (let k = 0; k < cells; k++) sample[i * cells + k] = x[g * cells + k] as number;
      return !(median(sample) >= threshold);
    });
    return failed < 0 ? values.length : failed;
  }).toSorted((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  return {
    threshold,
    scoring,
    taps,
    of: values.length,
    share: taps / values.length,
    deepest: taps === 0 ? undefined : fromOutput[taps - 1]?.name,
    interval: { low: quantileOfSorted(counts, tail), high: quantileOfSorted(counts, 1 - tail), confidence, resamples, seed },
    curve: fromOutput.map(({ name }, i) => ({ tap: name, median: medians[i] as number })),
    areaUnderCurve: medians.reduce((sum, x) => sum + x, 0) / medians.length,
  };
}

function checkProfile({ taps, gridList: { grids } }: DepthProfile): void {
  const none = taps.length === 0 ? 'taps' : grids.length === 0 ? 'grids' : undefined;
  if (none === undefined) return;
  throw new CodaError({ kind: 'argument', where: 'interpretableDepth: profile', problem: `it has no ${none}` });
}

function reached(medians: readonly number[], threshold: number): number {
  const first = medians.findIndex((x) => !(x >= threshold));
  return first < 0 ? medians.length : first;
}

/** Sorts what it is given. */
function median(values: Float64Array): number {
  return quantileOfSorted(values.sort(), 0.5);
}

function valuesOf({ name, localisation }: TapProfile, scoring: Scoring): readonly number[] {
  const values = localisation[scoring];
  if (values !== null) return values;
  throw new CodaError({
    kind: 'argument',
    where: 'interpretableDepth: scoring',
    problem: `the maps of tap ${JSON.stringify(name)} do not divide into the cells`,
    expected: 'upsample',
    got: scoring,
  });
}
