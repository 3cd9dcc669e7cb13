/** Sizes that a signature leaves open, as words: `batch`, `height`, or `32*height` for the multiples of 32. */

export interface OpenSize {
  readonly symbol: string;
  readonly times: number;
}

export function openSize(word: string): OpenSize {
  const [, times, symbol] = /^([1-9]\d*)\*(.+)$/.exec(word) ?? [];
  return symbol === undefined ? { symbol: word, times: 1 } : { symbol, times: Number(times) };
}

/**
 * Whether `shape` is one of those that `spec` means. `sizes` holds what the symbols stand for and learns those that it does not know: the same size wherever
 * a symbol stands.
 */
export function fitsShape(shape: readonly number[], spec: readonly (number | string)[], sizes: Map<string, number>): boolean {
  if (shape.length !== spec.length) return false;
  return spec.every((size, axis) => {
    const actual = shape[axis] as number;
    if (typeof size === 'number') return size === actual;
    const { symbol, times } = openSize(size);
    if (!sizes.has(symbol) && actual % times === 0) sizes.set(symbol, actual / times);
    return (sizes.get(symbol) as number) * times === actual;
  });
}
