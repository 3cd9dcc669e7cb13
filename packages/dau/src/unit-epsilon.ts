/** ε of the units: its default, and what it may be, for functions, layers and configs alike. */
import { CodaError, described } from '@coda-nets/core';
import * as v from 'valibot';

/** ‖v‖ is taken as √(‖v‖² + ε): 10⁻⁶ at v = 0, which no trained unit comes near, and far above where float32 would overflow 1/‖v‖³. */
export const defaultDauEpsilon = 1e-12;

/** By unit: below, the gradient at 0 overflows float32. DAUs add ε to squares (1/‖v‖³ is 10³⁶ there), efficient units its square. */
const least = { dau: 1e-24, edau: 1e-12 } as const;
export type UnitKind = keyof typeof least;

/** A guard against 0, not a scale: larger ones would change every weight. */
const largest = 1;

/** In a config; which of the two limits below holds depends on the norm: see `checkEpsilon`. */
export const codaEpsilonSchema = v.optional(v.pipe(v.number(), v.minValue(least.dau), v.maxValue(largest)), defaultDauEpsilon);

/** Throws a CodaError for an ε that units of this kind cannot take. */
export function checkEpsilon(where: string, eps: unknown, kind: UnitKind): void {
  if (typeof eps === 'number' && eps >= least[kind] && eps <= largest) return;
  const whose = kind === 'dau' ? 'DAUs' : 'efficient units';
  throw new CodaError({
    kind: 'argument',
    where,
    problem: `not a guard that ${whose} can take in float32`,
    expected: `a number from ${least[kind]} to ${largest}`,
    got: described(eps),
  });
}
