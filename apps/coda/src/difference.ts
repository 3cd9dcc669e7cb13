/** How far two arrays of numbers are apart. */

/** max |a − b|; infinite where one is NaN and the other is not, or their lengths differ. Equal infinities are 0 apart. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    if (Object.is(x, y) || x === y) continue;
    const d = Math.abs(x - y);
    if (Number.isNaN(d)) return Infinity;
    if (d > worst) worst = d;
  }
  return worst;
}

/** The largest |x| that is finite, at least `least`. */
export function largest(data: ArrayLike<number>, least: number): number {
  let most = least;
  for (let i = 0; i < data.length; i++) {
    const x = Math.abs(data[i] as number);
    if (x > most && Number.isFinite(x)) most = x;
  }
  return most;
}
