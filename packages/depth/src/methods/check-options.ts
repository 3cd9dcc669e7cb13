/** The options of methods, refused before anything is computed. */
import { CodaError } from '@coda-nets/core';

export function positiveInteger(value: number, where: string): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new CodaError({ kind: 'argument', where, problem: 'not a count', expected: 'an integer from 1', got: String(value) });
}

export function share(value: number, where: string): void {
  if (value > 0 && value <= 1) return;
  throw new CodaError({ kind: 'argument', where, problem: 'not a share', expected: 'a number in (0, 1]', got: String(value) });
}
