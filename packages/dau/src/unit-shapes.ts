/** Whether the weights of units fit together and to their input. One place for `dauConv`, `edauConv` and their maps; computes nothing. */
import type * as tf from '@tensorflow/tfjs-core';
import { checkObject, checkOptions, checkTensor, CodaError, described } from '@coda-nets/core';
import { largestPadding } from './patches.ts';
import { checkEpsilon } from './unit-epsilon.ts';

/** The weights of n units of rank r over patches of k×k×C; eDAUs have no b. */
export interface UnitWeights {
  /** [k, k, C, n, r] */
  readonly A: tf.Tensor;
  /** [k, k, C, r] */
  readonly B: tf.Tensor;
  /** [k, k, C, n] */
  readonly b?: tf.Tensor;
}

export interface UnitDimensions {
  readonly k: number;
  readonly channels: number;
  readonly n: number;
  readonly r: number;
  /** k·k·channels */
  readonly d: number;
}

/** What a layer's geometry and its guard are. */
interface UnitOptions {
  readonly stride: number;
  readonly padding: number;
  readonly eps: number;
}

const layouts = { A: '[k, k, C, n, r]', B: '[k, k, C, r]', b: '[k, k, C, n]' } as const;
type WeightName = keyof typeof layouts;

/** The weights that a kind of unit has. */
export const weightNames = { dau: ['A', 'B', 'b'], edau: ['A', 'B'] } as const;

/** Throws a CodaError for weights or options that are no objects, and for an option there is not, with the nearest. */
export function checkUnitCall(
  where: string,
  weights: unknown,
  names: readonly WeightName[],
  options: unknown,
  known: readonly string[],
): void {
  checkObject(`${where}: weights`, weights, `{ ${names.join(', ')} }`);
  checkOptions(`${where}: options`, options, known);
}

/**
 * `where` names the function in errors: `dauConv`.
 * Throws a CodaError for weights that do not fit together or not to x [N, H, W, C], and for options that are none.
 */
export function unitDimensions(
  where: string,
  x: tf.Tensor4D,
  weights: UnitWeights,
  kind: keyof typeof weightNames,
  { stride, padding, eps }: UnitOptions,
): UnitDimensions {
  checkNumber(`${where}: stride`, stride, Number.isInteger(stride) && stride >= 1 && stride < 2 ** 31, 'an integer from 1 to 2³¹ − 1');
  checkNumber(`${where}: padding`, padding, Number.isInteger(padding) && padding >= 0, 'an integer of at least 0');
  checkEpsilon(`${where}: eps`, eps, kind);
  const names = weightNames[kind];
  for (const name of names) checkTensor(`${where}: weights.${name}`, weights[name], layouts[name]);
  const A = weights.A.shape;
  const [k = 0, , channels = 0, n = 0, r = 0] = A;
  const all: Record<WeightName, readonly number[]> = { A: [k, k, channels, n, r], B: [k, k, channels, r], b: [k, k, channels, n] };
  for (const name of names) {
    const got = (weights[name] as tf.Tensor).shape;
    if (got.join() === all[name].join() && !got.includes(0)) continue;
    throw new CodaError({
      kind: 'argument',
      where: `${where}: weights.${name}`,
      problem: `the weights do not fit together: ${names.map((each) => `${each} ${layouts[each]}`).join(', ')}`,
      expected: A.length !== 5 ? 'five sizes of A' : got.includes(0) ? 'sizes of at least 1' : `[${all[name].join(', ')}]`,
      got: `[${got.join(', ')}]`,
    });
  }
  const fits = padding <= largestPadding(k);
  checkNumber(
    `${where}: padding`,
    padding,
    fits,
    `at most ${largestPadding(k)}, the width of the kernel: further out patches have zeros alone`,
  );
  checkTensor(`${where}: x`, x, `[N, H, W, ${channels}]`);
  const shape: readonly number[] = x.shape;
  const [, height = 0, width = 0, got] = shape;
  if (shape.length !== 4 || got !== channels || Math.min(height, width) < 1 || Math.min(height, width) + 2 * padding < k) {
    throw new CodaError({
      kind: 'argument',
      where: `${where}: x`,
      problem: `x does not fit a ${k}×${k} kernel with padding ${padding} over ${channels} channels`,
      expected: `[N, H, W, ${channels}] with H and W at least ${Math.max(1, k - 2 * padding)}`,
      got: `[${shape.join(', ')}]`,
    });
  }
  return { k, channels, n, r, d: k * k * channels };
}

function checkNumber(where: string, value: number, fits: boolean, expected: string): void {
  if (fits) return;
  throw new CodaError({ kind: 'argument', where, problem: 'not a valid number', expected, got: described(value) });
}
