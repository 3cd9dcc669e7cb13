/** Numbers must agree before times count: compares what contenders computed from the same weights and inputs. */
import { CodaError, type NamedArrays, type NdArray } from '@coda-nets/core';

/** Largest |a − b| over largest |b| that passes, by the first part of a tensor's name. */
export type Tolerances = Readonly<Record<string, number>>;

/**
 * Of CoDA networks; float32 in other orders of summation through nine layers.
 * - logits: b₀ is their largest part, and the same in all
 * - map: contributions cancel, so that an entry's own size says nothing
 * - gradient: sums over all positions of a batch, of terms that cancel
 */
const codaTolerances: Tolerances = { logits: 1e-5, loss: 1e-5, map: 1e-4, gradient: 1e-4 };

export interface Agreement {
  /** The tensor that is furthest apart, measured by its tolerance. */
  readonly worst: string;
  readonly deviation: number;
  readonly tolerance: number;
}

/** Throws a CodaError that names the tensor where two contenders differ. */
export function checkAgreement(
  where: string,
  names: readonly [string, string],
  actual: NamedArrays,
  expected: NamedArrays,
  tolerances = codaTolerances,
): Agreement {
  let worst: Agreement = { worst: '', deviation: 0, tolerance: 1 };
  const all = new Set([...Object.keys(actual), ...Object.keys(expected)]);
  for (const name of all) {
    const tolerance = tolerances[name.split('/')[0] as string] ?? 0;
    const deviation = deviationOf(actual[name], expected[name]);
    if (!(deviation <= tolerance)) {
      throw new CodaError({
        kind: 'numeric',
        where: `${where}: ${name}`,
        problem: `${names[0]} and ${names[1]} compute different numbers, so their times do not compare`,
        expected: `at most ${tolerance} of the largest apart`,
        got: deviation.toExponential(2),
      });
    }
    if (deviation / tolerance >= worst.deviation / worst.tolerance) worst = { worst: name, deviation, tolerance };
  }
  return worst;
}

/** NaN, and infinity where the shapes differ, pass no tolerance. */
function deviationOf(actual: NdArray | undefined, expected: NdArray | undefined): number {
  if (actual === undefined || expected === undefined || actual.shape.join() !== expected.shape.join()) return Infinity;
  let apart = 0;
  let largest = 0;
  for (const [i, y] of (expected.data as Float32Array).entries()) {
    const difference = Math.abs(((actual.data as Float32Array)[i] as number) - y);
    if (Number.isNaN(difference)) return Number.NaN;
    apart = Math.max(apart, difference);
    largest = Math.max(largest, Math.abs(y));
  }
  return apart === 0 ? 0 : apart / largest;
}
