/**
 * Where a tensor's numbers stand that are not in the model file. What a foreign file says is checked before anything opens the path: it names a file in the
 * model's own folder, and a range that is as long as the tensor's shape says.
 */
import { CodaError, sizeOf, zerosArray, type DType } from '@coda-nets/core';

export interface ExternalData {
  readonly tensor: string;
  /** A path below the folder of the model, with slashes. */
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

interface ExternalTensor {
  readonly name: string;
  readonly dtype: DType | undefined;
  readonly dims: readonly number[];
  readonly entries: readonly (readonly [key: string, value: string])[];
}

/** Throws a CodaError of kind `malformed` that names the file and the tensor. */
export function externalDataOf({ name, dtype, dims, entries }: ExternalTensor, file: string): ExternalData {
  const malformed = (problem: string, expected?: string, got?: string): CodaError =>
    new CodaError({ kind: 'malformed', where: `${file}: tensor "${name}"`, problem, expected, got });
  const entry = Object.fromEntries(entries);
  const location = entry['location'] ?? '';
  if (!isInside(location)) {
    throw malformed('its external data are not in the folder of the model', 'a relative path without ".."', JSON.stringify(location));
  }
  if (dtype === undefined) throw malformed('a data type that is not read here');
  const bytes = sizeOf(dims) * zerosArray(dtype, [0]).data.BYTES_PER_ELEMENT;
  if (!dims.every((d) => Number.isSafeInteger(d) && d >= 0) || !Number.isSafeInteger(bytes)) {
    throw malformed('not a shape', 'sizes from 0', `[${dims.join(', ')}]`);
  }
  const number = (key: string, otherwise: number): number => {
    const text = entry[key];
    const value = text === undefined ? otherwise : /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw malformed(`${key} of its external data`, 'a whole number', JSON.stringify(text));
    return value;
  };
  const offset = number('offset', 0);
  const length = number('length', bytes);
  if (length !== bytes) throw malformed('its external data do not fill its shape', `${bytes} bytes`, `${length}`);
  return { tensor: name, location, offset, length };
}

/** The one place that decides: no absolute path, no drive, no way up, nothing that a file system reads otherwise. */
function isInside(location: string): boolean {
  const parts = location.split('/');
  return !/[\\:\0]/.test(location) && parts.every((part) => part !== '' && part !== '.' && part !== '..');
}
