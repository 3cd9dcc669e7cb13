/** What a public function checks of its arguments before it uses them, so that a wrong one is a CodaError and nothing deeper fails. Not for configs: see `parse-config.ts`. */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError } from './errors.ts';
import { nearestName } from './nearest-name.ts';
import { shown } from './shown.ts';

/** What came, in an error: `nothing`, `null`, `an array`, `int32 [2, 3]`, or its JSON. */
export function described(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value instanceof tf.Tensor) return `${value.dtype} [${value.shape.join(', ')}]`;
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'function') return 'a function';
  return typeof value === 'number' || typeof value === 'symbol' ? String(value) : shown(value);
}

/** Throws a CodaError unless `value` is a tensor that is still there, of `dtype`. `expected` names the shape: `[N, H, W, C]`. */
export function checkTensor(
  where: string,
  value: unknown,
  expected: string,
  dtype: tf.DataType | 'any' = 'float32',
): asserts value is tf.Tensor {
  const wanted = dtype === 'any' ? expected : `${dtype} ${expected}`;
  if (!(value instanceof tf.Tensor)) {
    throw new CodaError({ kind: 'argument', where, problem: 'not a tensor', expected: wanted, got: described(value) });
  }
  if (value.isDisposed) throw new CodaError({ kind: 'argument', where, problem: 'the tensor was disposed of', expected: wanted });
  if (dtype === 'any' || value.dtype === dtype) return;
  throw new CodaError({
    kind: 'argument',
    where,
    problem: 'a tensor of another type',
    expected: wanted,
    got: described(value),
    hint: `tf.cast(…, ${JSON.stringify(dtype)}) makes one.`,
  });
}

/** Throws a CodaError unless `value` is an object, and no array or tensor. `expected` says what is in it. */
export function checkObject(where: string, value: unknown, expected: string): asserts value is Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof tf.Tensor)) return;
  throw new CodaError({ kind: 'argument', where, problem: 'not an object', expected, got: described(value) });
}

/** Throws a CodaError unless `options` is an object that has none but `known` keys: for another, with the nearest of them. */
export function checkOptions(where: string, options: unknown, known: readonly string[]): void {
  checkObject(where, options, `{ ${known.join(', ')} }`);
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const near = nearestName(unknown, known);
  throw new CodaError({
    kind: 'argument',
    where,
    problem: `unknown option ${shown(unknown)}`,
    expected: `one of ${known.join(', ')}`,
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}

/** Throws a CodaError unless `x` holds m maps of `shape` without its batch, for each of its images. */
export function checkPerImage(where: string, x: tf.Tensor, [images = 0, ...shape]: readonly number[]): void {
  checkTensor(where, x, `[m·${images}, ${shape.join(', ')}]`);
  const [count = 0, ...rest] = x.shape;
  if (x.rank === shape.length + 1 && rest.join() === shape.join() && (images === 0 ? count === 0 : count > 0 && count % images === 0))
    return;
  throw new CodaError({
    kind: 'argument',
    where,
    problem: `not the same number of maps for each of the ${images} images`,
    expected: `[m·${images}, ${shape.join(', ')}]`,
    got: `[${x.shape.join(', ')}]`,
  });
}
