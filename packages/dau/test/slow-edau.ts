/** The efficient unit once more: float64 loops that build every weight vector w = A u / N. Shares no code or layout trick with the package. */
import type { EdauBound } from '../src/index.ts';
import { symmetricEigen } from './symmetric-eigen.ts';

export interface SlowEdau {
  readonly x: Float64Array;
  /** [N, H, W, C] */
  readonly shape: readonly [number, number, number, number];
  readonly A: Float64Array;
  readonly B: Float64Array;
  readonly k: number;
  readonly n: number;
  readonly r: number;
  readonly stride: number;
  readonly padding: number;
  readonly bound: EdauBound;
  readonly eps: number;
}

export interface SlowUnit {
  readonly out: number;
  readonly w: Float64Array;
  readonly patch: Float64Array;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

const squared = (v: ArrayLike<number>): number => dot(v, v);

/** Every unit at every position, in the order of [N, H', W', n]. */
export function slowEdauUnits(o: SlowEdau): SlowUnit[] {
  const d = o.k * o.k * o.shape[3];
  /** Column s of A_j, and row s of B. */
  const columns = Array.from({ length: o.n }, (_, j) =>
    Array.from({ length: o.r }, (_, s) => Float64Array.from({ length: d }, (_, i) => o.A[(i * o.n + j) * o.r + s] as number)),
  );
  const rows = Array.from({ length: o.r }, (_, s) => Float64Array.from({ length: d }, (_, i) => o.B[i * o.r + s] as number));
  const bounds = columns.map((A) => Math.sqrt(squaredBound(o.bound, A, rows) + o.eps ** 2));
  return slowPatches(o).flatMap((patch) => {
    const u = Float64Array.from(rows, (row) => dot(row, patch));
    const length = Math.sqrt((o.bound === 'product' ? squared(patch) : squared(u)) + o.eps ** 2);
    return columns.map((A, j) => {
      const w = new Float64Array(d);
      for (const [s, column] of A.entries())
        for (let i = 0; i < d; i++) w[i]! += ((column[i] as number) * (u[s] as number)) / ((bounds[j] as number) * length);
      return { out: dot(w, patch), w, patch };
    });
  });
}

export function slowEdau(o: SlowEdau): Float64Array {
  return Float64Array.from(slowEdauUnits(o), ({ out }) => out);
}

function squaredBound(bound: EdauBound, A: readonly Float64Array[], B: readonly Float64Array[]): number {
  if (bound === 'frobenius') return A.reduce((sum, column) => sum + squared(column), 0);
  if (bound === 'spectral') {
    const gram = A.flatMap((left) => A.map((right) => dot(left, right)));
    return symmetricEigen(gram, A.length).values[0] as number;
  }
  const d = (A[0] as Float64Array).length;
  let total = 0;
  for (let i = 0; i < d; i++) {
    for (let l = 0; l < d; l++) {
      let entry = 0; // of A_j B
      for (const [s, column] of A.entries()) entry += (column[i] as number) * ((B[s] as Float64Array)[l] as number);
      total += entry * entry;
    }
  }
  return total;
}

/** In the order of [N, H', W']; (ky, kx, c) within a patch. */
function slowPatches({ x, shape: [N, H, W, C], k, stride, padding }: SlowEdau): Float64Array[] {
  const patches: Float64Array[] = [];
  for (let image = 0; image < N; image++) {
    for (let top = -padding; top + k <= H + padding; top += stride) {
      for (let left = -padding; left + k <= W + padding; left += stride) {
        patches.push(
          Float64Array.from({ length: k * k * C }, (_, i) => {
            const y = top + Math.floor(i / (k * C));
            const column = left + (Math.floor(i / C) % k);
            const inside = y >= 0 && y < H && column >= 0 && column < W;
            return inside ? (x[((image * H + y) * W + column) * C + (i % C)] as number) : 0;
          }),
        );
      }
    }
  }
  return patches;
}
