/** Compares the inputs of a call with the signature it was compiled for. */
import { CodaError, type ArraySpec, type NamedArrays } from '@coda-nets/core';

export function checkInputs(inputs: NamedArrays, specs: Readonly<Record<string, ArraySpec>>): void {
  const unexpected = Object.keys(inputs).filter((name) => !(name in specs));
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
  let batch: number | undefined;
  for (const [name, { dtype, shape }] of Object.entries(specs)) {
    const input = inputs[name] as NamedArrays[string];
    const fits =
      input.dtype === dtype &&
      input.shape.length === shape.length &&
      shape.every((d, i) => (d === 'batch' ? (batch ??= input.shape[i] as number) === input.shape[i] : d === input.shape[i]));
    if (fits) continue;
    const size = batch === undefined ? 'batch' : String(batch);
    throw new CodaError({
      kind: 'argument',
      where: `run: input "${name}"`,
      problem: 'another shape or dtype than compiled for',
      expected: `${dtype} [${shape.map((d) => (d === 'batch' ? size : d)).join(', ')}]`,
      got: `${input.dtype} [${input.shape.join(', ')}]`,
    });
  }
}
