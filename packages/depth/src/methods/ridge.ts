/** Weighted ridge regression with an intercept that is not penalised, by normal equations and Cholesky; for a few hundred columns. */

/**
 * β of min_{β, β₀} Σ_s π_s (y_s − β₀ − Σ_k β_k z_{s,columns[k]})² + λ‖β‖², λ > 0. Centring by the weighted means removes β₀.
 */
export function ridge(
  rows: readonly ArrayLike<number>[],
  y: ArrayLike<number>,
  weights: readonly number[],
  lambda: number,
  columns: readonly number[],
): Float64Array {
  const total = weights.reduce((sum, x) => sum + x, 0);
  const mean = (value: (s: number) => number): number => rows.reduce((sum, _, s) => sum + (weights[s] as number) * value(s), 0) / total;
  const means = columns.map((c) => mean((s) => (rows[s] as ArrayLike<number>)[c] as number));
  const meanY = mean((s) => y[s] as number);
  const size = columns.length;
  const gram = new Float64Array(size * size);
  const right = new Float64Array(size);
  for (const [s, row] of rows.entries()) {
    const centred = columns.map((c, k) => (row[c] as number) - (means[k] as number));
    for (let i = 0; i < size; i++) {
      const scaled = (weights[s] as number) * (centred[i] as number);
      (right[i] as number) += scaled * ((y[s] as number) - meanY);
      for (let j = 0; j <= i; j++) (gram[i * size + j] as number) += scaled * (centred[j] as number);
    }
  }
  for (let i = 0; i < size; i++) (gram[i * size + i] as number) += lambda;
  return solveCholesky(gram, right);
}

/** x of M x = b for a symmetric positive definite M, of which the lower triangle is read; both are overwritten. */
function solveCholesky(m: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  const at = (i: number, j: number): number => m[i * n + j] as number;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = at(i, j);
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k);
      m[i * n + j] = i === j ? Math.sqrt(sum) : sum / at(j, j);
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) (b[i] as number) -= at(i, k) * (b[k] as number);
    (b[i] as number) /= at(i, i);
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) (b[i] as number) -= at(k, i) * (b[k] as number);
    (b[i] as number) /= at(i, i);
  }
  return b;
}
