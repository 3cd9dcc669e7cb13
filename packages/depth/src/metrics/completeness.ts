/** Whether a map adds up to what it explains. */
import type { NdArray } from '@coda-nets/core';
import { residualFloor } from '../explain.ts';

/**
 *     |Σ_p A(p) − (z − b₀)| / max(|z − b₀|, ε),     ε = 2⁻²³·max(1, |b₀|)
 *
 * Unit: relative. Range [0, ∞); lower is better; float32 rounding is 1e-7 to 1e-6. Source: the completeness axiom (arXiv 1703.01365, section 3)
 * with the bias of arXiv 2104.00032. Methods with a baseline explain z(a) − z(a₀): give that as `expected`. Added in float64.
 */
export function completenessResidual({ data }: Pick<NdArray<'float32'>, 'data'>, expected: number, logitBias = 0): number {
  const sum = data.reduce((total, x) => total + x, 0);
  return Math.abs(sum - expected) / Math.max(Math.abs(expected), residualFloor(logitBias));
}
