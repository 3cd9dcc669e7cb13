/** Compares the inputs of a call with the signature it was compiled for. */
import { CodaError, fitsShape, openSize, type ArraySpec, type NamedArrays } from '@coda-nets/core';

export function checkInputs(inputs: NamedArrays, specs: Readonly<Record<string, ArraySpec>>): void {
  if (typeof inputs !== 'object' || inputs === null) {
    throw new CodaError({ kind: 'argument', where: 'run: inputs', problem: 'no arrays by name', got: String(inputs) });
  }
  const unexpected = Object.keys(inputs).filter((name) => !Object.hasOwn(specs, name));
  const missing = Object.keys(specs).filter((name) => inputs[name] === undefined);
  if (missing.length + unexpected.length > 0) {
    throw new CodaError({
      kind: 'argument',
      where: 'run: inputs',
      problem: 'not the inputs of this function',
      expected: Object.keys(specs).join(', '),
      got: Object.keys(inputs).join(', ') || 'none',
    });
  }
  const sizes = new Map<string, number>();
  for (const [name, { dtype, shape }] of Object.entries(specs)) {
    const input = inputs[name] as NamedArrays[string];
    if (input.dtype === dtype && fitsShape(input.shape, shape, sizes)) continue;
    const known = (d: number | string): number | string => {
      if (typeof d === 'number') return d;
      const { symbol, times } = openSize(d);
      const size = sizes.get(symbol);
      return size === undefined ? d : size * times;
    };
    throw new CodaError({
      kind: 'argument',
      where: `run: input "${name}"`,
      problem: 'another shape or dtype than compiled for',
      expected: `${dtype} [${shape.map(known).join(', ')}]`,
      got: `${input.dtype} [${input.shape.join(', ')}]`,
    });
  }
}
