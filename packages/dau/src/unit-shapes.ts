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

/** `where` names the function in errors: `dauConv`. Throws a CodaError for weights that do not fit together, or not to x [N, H, W, C]. */
export function unitDimensions(
  where: string,
  x: tf.Tensor4D,
  weights: UnitWeights,
  { stride, padding }: { readonly stride: number; readonly padding: number },
): UnitDimensions {
  checkWhole(`${where}: stride`, stride, 1);
  checkWhole(`${where}: padding`, padding, 0);
  const [k = 0, , channels = 0, n = 0, r = 0] = weights.A.shape;
  const expected = { A: [k, k, channels, n, r], B: [k, k, channels, r], ...(weights.b !== undefined && { b: [k, k, channels, n] }) };
  for (const [name, shape] of Object.entries(expected)) {
    const got = (weights[name as keyof UnitWeights] as tf.Tensor).shape;
    if (got.join() === shape.join()) continue;
    throw new CodaError({
      kind: 'argument',
      where: `${where}: weights.${name}`,
      problem: `the weights do not fit together: A [k, k, C, n, r], B [k, k, C, r]${weights.b === undefined ? '' : ', b [k, k, C, n]'}`,
      expected: `[${shape.join(', ')}]`,
      got: `[${got.join(', ')}]`,
    });
  }
  const [, height, width, got] = x.shape;
  if (x.rank !== 4 || got !== channels || Math.min(height, width) + 2 * padding < k) {
    throw new CodaError({
      kind: 'argument',
      where: `${where}: x`,
      problem: `x does not fit a ${k}×${k} kernel with padding ${padding} over ${channels} channels`,
      expected: `[N, H, W, ${channels}] with H and W at least ${Math.max(1, k - 2 * padding)}`,
      got: `[${x.shape.join(', ')}]`,
    });
  }
  return { k, channels, n, r, d: k * k * channels };
}

function checkWhole(where: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new CodaError({
    kind: 'argument',
    where,
    problem: 'not such a number',
    expected: `an integer of at least ${least}`,
    got: String(value),
  });
}
