/** Compares the inputs of a call with the signature it was compiled for. */
import { arrayConstructors, CodaError, fitsShape, openSize, sizeOf, type ArraySpec, type NamedArrays } from '@coda-nets/core';

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
    checkArray(name, input);
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

/** Whether it is an array at all: ONNX Runtime would read what lies behind the data of one that is too short. */
function checkArray(name: string, input: unknown): void {
  const wrong = (problem: string, expected: string, got: string): CodaError =>
    new CodaError({ kind: 'argument', where: `run: input "${name}"`, problem, expected, got });
  const { dtype, shape, data } = (typeof input === 'object' && input !== null ? input : {}) as Partial<NamedArrays[string]>;
  if (typeof dtype !== 'string' || !Array.isArray(shape) || data === undefined) {
    throw wrong('not an array', 'an object with dtype, shape and data', input instanceof Object ? input.constructor.name : String(input));
  }
  const constructor = Object.hasOwn(arrayConstructors, dtype) ? arrayConstructors[dtype] : undefined;
  if (constructor === undefined) throw wrong('a dtype that nothing here has', Object.keys(arrayConstructors).join(', '), dtype);
  // by name: those of another thread or context are no instances
  const kind = Object.prototype.toString.call(data).slice('[object '.length, -1);
  if (kind !== constructor.name) throw wrong(`its data are not those of ${dtype}`, constructor.name, kind);
  const length = sizeOf(shape);
  if (data.length !== length) throw wrong(`its data do not fill [${shape.join(', ')}]`, `${length} elements`, `${data.length}`);
}
