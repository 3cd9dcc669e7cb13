/** Eigenvalues and eigenvectors of a symmetric matrix in float64, by Jacobi's rotations (1846): slow, and exact to about 1e-14. */

export interface SymmetricEigen {
  /** Largest first. */
  readonly values: Float64Array;
  /** Row i belongs to values[i]; orthonormal. */
  readonly vectors: readonly Float64Array[];
}

/** `matrix` is n·n numbers, row by row. */
export function symmetricEigen(matrix: ArrayLike<number>, n: number): SymmetricEigen {
  const a = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => matrix[i * n + j] as number));
  const vectors = Array.from({ length: n }, (_, i) => new Float64Array(n).with(i, 1));
  const at = (i: number, j: number): number => (a[i] as Float64Array)[j] as number;
  const size = Math.sqrt(a.reduce((sum, row) => sum + row.reduce((s, x) => s + x * x, 0), 0));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        off = Math.max(off, Math.abs(at(p, q)));
        if (at(p, q) === 0) continue;
        const theta = (at(q, q) - at(p, p)) / (2 * at(p, q));
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1);
        const s = t * c;
        for (let k = 0; k < n; k++) {
          const [kp, kq] = [at(k, p), at(k, q)];
          (a[k] as Float64Array)[p] = c * kp - s * kq;
          (a[k] as Float64Array)[q] = s * kp + c * kq;
        }
        for (const rows of [a, vectors]) {
          const [rowP, rowQ] = [rows[p] as Float64Array, rows[q] as Float64Array];
          rows[p] = rowP.map((x, k) => c * x - s * (rowQ[k] as number));
          rows[q] = rowQ.map((x, k) => s * (rowP[k] as number) + c * x);
        }
      }
    }
    if (off <= 1e-15 * size) break;
  }
  const order = vectors.map((_, i) => i).sort((i, j) => at(j, j) - at(i, i));
  return { values: Float64Array.from(order, (i) => at(i, i)), vectors: order.map((i) => vectors[i] as Float64Array) };
}
