/** Whether the weights of units fit together and to their input. One place for `dauConv`, `edauConv` and their maps; computes nothing. */
import type * as tf from '@tensorflow/tfjs-core';
import { CodaError } from '@coda-nets/core';

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
  /** Below it the gradient at v = 0 overflows in float32. */
  readonly leastEps: number;
}

/**
 * `where` names the function in errors: `dauConv`. `names`: the weights that its units have.
 * Throws a CodaError for weights that do not fit together or not to x [N, H, W, C], and for options that are none.
 */
export function unitDimensions(
  where: string,
  x: tf.Tensor4D,
  weights: UnitWeights,
  names: readonly (keyof UnitWeights)[],
  { stride, padding, eps, leastEps }: UnitOptions,
): UnitDimensions {
  checkNumber(`${where}: stride`, stride, Number.isInteger(stride) && stride >= 1, 'an integer of at least 1');
  checkNumber(`${where}: padding`, padding, Number.isInteger(padding) && padding >= 0, 'an integer of at least 0');
  checkNumber(`${where}: eps`, eps, Number.isFinite(eps) && eps >= leastEps, `a number of at least ${leastEps}`);
  const A = shapeOf(`${where}: weights.A`, weights.A);
  const [k = 0, , channels = 0, n = 0, r = 0] = A;
  const all: Record<keyof UnitWeights, readonly number[]> = { A: [k, k, channels, n, r], B: [k, k, channels, r], b: [k, k, channels, n] };
  for (const name of names) {
    const got = shapeOf(`${where}: weights.${name}`, weights[name]);
    if (got.join() === all[name].join() && !got.includes(0)) continue;
    throw new CodaError({
      kind: 'argument',
      where: `${where}: weights.${name}`,
      problem: `the weights do not fit together: A [k, k, C, n, r], B [k, k, C, r]${names.includes('b') ? ', b [k, k, C, n]' : ''}`,
      expected: A.length !== 5 ? 'five sizes of A' : got.includes(0) ? 'sizes of at least 1' : `[${all[name].join(', ')}]`,
      got: `[${got.join(', ')}]`,
    });
  }
  const shape = shapeOf(`${where}: x`, x);
  const [, height = 0, width = 0, got] = shape;
  if (shape.length !== 4 || got !== channels || Math.min(height, width) + 2 * padding < k) {
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

function shapeOf(where: string, value: tf.Tensor | undefined): readonly number[] {
  const shape: unknown = (value as Partial<tf.Tensor> | null | undefined)?.shape;
  if (Array.isArray(shape)) return shape as number[];
  const got = value === undefined ? 'nothing' : Array.isArray(value) ? 'an array' : typeof value;
  throw new CodaError({ kind: 'argument', where, problem: 'not a tensor', got });
}

function checkNumber(where: string, value: number, fits: boolean, expected: string): void {
  if (fits) return;
  throw new CodaError({ kind: 'argument', where, problem: 'not a valid number', expected, got: String(value) });
}
