/** The unit once more, as the paper writes it: float64 loops that build every weight vector w. Shares no code or layout trick with the package. */

export interface SlowDau {
  readonly x: Float64Array;
  /** [N, H, W, C] */
  readonly shape: readonly [number, number, number, number];
  readonly A: Float64Array;
  readonly B: Float64Array;
  readonly b: Float64Array;
  readonly k: number;
  readonly n: number;
  readonly r: number;
  readonly stride: number;
  readonly padding: number;
  readonly norm: 'sq' | 'l2';
  readonly eps: number;
}

export interface SlowUnit {
  readonly out: number;
  readonly w: Float64Array;
  readonly patch: Float64Array;
}

/** Every unit at every position, in the order of [N, H', W', n]. */
export function slowUnits(o: SlowDau): SlowUnit[] {
  const [N, H, W, C] = o.shape;
  const d = o.k * o.k * C;
  const units: SlowUnit[] = [];
  for (let image = 0; image < N; image++) {
    for (let top = -o.padding; top + o.k <= H + o.padding; top += o.stride) {
      for (let left = -o.padding; left + o.k <= W + o.padding; left += o.stride) {
        const patch = new Float64Array(d);
        for (let i = 0; i < d; i++) {
          const [ky, kx, c] = [Math.floor(i / (o.k * C)), Math.floor(i / C) % o.k, i % C];
          const [y, x] = [top + ky, left + kx];
          if (y >= 0 && y < H && x >= 0 && x < W) patch[i] = o.x[((image * H + y) * W + x) * C + c] as number;
        }
        const u = Array.from({ length: o.r }, (_, s) => patch.reduce((sum, p, i) => sum + p * (o.B[i * o.r + s] as number), 0));
        for (let j = 0; j < o.n; j++) {
          const v = patch.map((_, i) =>
            u.reduce((sum, us, s) => sum + us * (o.A[(i * o.n + j) * o.r + s] as number), o.b[i * o.n + j] as number),
          );
          const squared = v.reduce((sum, vi) => sum + vi * vi, o.eps);
          const length = Math.sqrt(squared);
          const w = v.map((vi) => (o.norm === 'l2' ? vi / length : (vi / length) * (squared / (1 + squared))));
          units.push({ out: w.reduce((sum, wi, i) => sum + wi * (patch[i] as number), 0), w, patch });
        }
      }
    }
  }
  return units;
}

export function slowDau(o: SlowDau): Float64Array {
  return Float64Array.from(slowUnits(o), ({ out }) => out);
}
