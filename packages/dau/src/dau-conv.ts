/**
 * The convolutional Dynamic Alignment Unit as a pure function, with a hand-written gradient.
 *
 * At each position, with the patch p ∈ R^d (d = k²·C, zero padding counts) and for each of n units j:
 *
 *     u = B p                     B ∈ R^{r×d}, shared by all units
 *     v_j(p) = A_j u + b_j        A_j ∈ R^{d×r}, b_j ∈ R^d
 *     w_j(p) = g(v_j)             L2: v/‖v‖     SQ: v/‖v‖ · ‖v‖²/(1+‖v‖²)
 *     out_j = w_j(p)ᵀ p           so that |out_j| ≤ ‖p‖
 *
 * Source: arXiv 2109.13004, section 3. Differs from it: v_jᵀp and ‖v_j‖² come from whichever of two exact forms costs less
 * (`low-rank-form.ts`, derived here, and `explicit-form.ts`); ε keeps the gradient finite at v = 0, and `norm-guard.ts` the bound where float32 has lost ‖v‖.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, described, dynamicWeightsAreHeld, nearestName, offTape } from '@coda-nets/core';
import { explicitForm } from './explicit-form.ts';
import { lowRankForm } from './low-rank-form.ts';
import { guardedNorm } from './norm-guard.ts';
import { ofNoImages } from './of-no-images.ts';
import { gatherPatches, patchCount, scatterPatches, type PatchGeometry } from './patches.ts';
import { defaultDauEpsilon } from './unit-epsilon.ts';
import { cheaperForm, unitFormNames, type UnitForm, type UnitFormName, type UnitMatrices } from './unit-form.ts';
import { checkUnitCall, unitDimensions, weightNames } from './unit-shapes.ts';
import { unitsInGroups } from './units-in-groups.ts';

/** `sq`: the squash g, ‖w‖ < 1. `l2`: unit weights, ‖w‖ = 1. */
export type DauNorm = 'sq' | 'l2';

export interface DauWeights {
  /** [k, k, C, n, r] */
  readonly A: tf.Tensor;
  /** [k, k, C, r] */
  readonly B: tf.Tensor;
  /** [k, k, C, n] */
  readonly b: tf.Tensor;
}

export interface DauConvOptions {
  readonly stride?: number;
  /** Zeros on each of the four sides, at most as many as the kernel is wide. */
  readonly padding?: number;
  readonly norm?: DauNorm;
  /** ε in ‖v‖ = √(‖v‖² + ε): default 1e-12, from 1e-24 to 1. */
  readonly eps?: number;
  /**
   * Default `auto`: the one with the lower cost for d and r, whatever the numbers, so that a layer is one smooth function. Where v does not cancel both are
   * the equation to 10⁻⁶ of the largest output. With κ = S/‖v‖ (`norm-guard.ts`) `explicit` has v to about 2⁻²⁴ κ of its length; `low-rank` has ‖v‖ to about 2⁻²⁴ κ², and takes
   * it as √(1 + q²/(1 + q)) times as long, q = 2⁻¹⁸ κ²: 10⁻⁶ at κ = 19, a fifth at 480. Maps and gradients are those of the same form.
   */
  readonly form?: UnitFormName | 'auto';
  /**
   * Default: all. Fewer units at once need less memory: their n·r (or n·d) numbers a position are there for so many units only, and are
   * computed once more for the gradient. The numbers are the same.
   */
  readonly unitsAtOnce?: number;
}

const forms: Readonly<Record<UnitFormName, UnitForm>> = { 'low-rank': lowRankForm, explicit: explicitForm };
const optionNames = ['stride', 'padding', 'norm', 'eps', 'form', 'unitsAtOnce'] as const satisfies readonly (keyof DauConvOptions)[];

/**
 * x [N, H, W, C] → [N, H', W', n] with H' = ⌊(H + 2·padding − k) / stride⌋ + 1.
 * Inside `withDynamicWeightsHeld` the gradient with respect to x is exactly w(x), so that gradient × x sums to the output, and A, B and b are constants.
 * Outside it a gradient with respect to any of x, A, B and b computes all four where TensorFlow.js runs eagerly, which has no way to ask which are wanted; a
 * compiled graph drops the others. Throws a CodaError when the weights do not fit together or to x, or when the kernel is larger than the padded x.
 */
export function dauConv(x: tf.Tensor4D, weights: DauWeights, options: DauConvOptions = {}): tf.Tensor4D {
  checkUnitCall('dauConv', weights, weightNames.dau, options, optionNames);
  return dauUnits('dauConv', x, weights, options);
}

/** `dauConv` under another name in errors. */
export function dauUnits(
  where: string,
  x: tf.Tensor4D,
  weights: DauWeights,
  { stride = 1, padding = 0, norm = 'sq', eps = defaultDauEpsilon, form = 'auto', unitsAtOnce = Infinity }: DauConvOptions,
): tf.Tensor4D {
  const { k, d, n, r } = unitDimensions(where, x, weights, 'dau', { stride, padding, eps });
  checkNorm(where, norm);
  checkForm(where, form);
  checkUnitsAtOnce(where, unitsAtOnce);
  const geometry: PatchGeometry = { kernel: k, stride, padding };
  const whole = forms[form === 'auto' ? cheaperForm({ d, r }) : form];
  const { values, pullback, heldPullback } = unitsAtOnce >= n ? whole : unitsInGroups(whole, unitsAtOnce);
  const shape = [x.shape[0], patchCount(x.shape[1], geometry), patchCount(x.shape[2], geometry), n];
  if (x.shape[0] === 0) return ofNoImages([x, weights.A, weights.B, weights.b], shape);
  return tf.tidy(() => {
    const sizes = { d, n, r };
    // Off the tape, which has the operation below in the place of all this.
    const { output, inputs, alignment, guarded, scale, saved } = offTape(() => {
      const A: tf.Tensor2D = tf.reshape(weights.A, [d, n * r]);
      const B: tf.Tensor2D = tf.reshape(weights.B, [d, r]);
      const b: tf.Tensor2D = tf.reshape(weights.b, [d, n]);
      const patches = gatherPatches(x, geometry);
      const found = values(patches, { ...sizes, A, B, b });
      const guarded = guardedNorm(found.squaredNorm, found.magnitude, eps);
      const scale = dauScale(guarded.squaredNorm as tf.Tensor2D, norm);
      return { ...found, guarded, scale, inputs: [A, B, b, patches], output: tf.reshape(tf.mul(found.alignment, scale), shape) };
    });
    const spread = (gradient: tf.Tensor2D): tf.Tensor4D => scatterPatches(gradient, x.shape, geometry);
    const rows = (dy: tf.Tensor): tf.Tensor2D => tf.reshape(dy, [-1, n]);

    if (dynamicWeightsAreHeld()) {
      return operation(where, [x], output, [...inputs.slice(0, 3), scale, ...saved], (dy, [A, B, b, scale, ...saved]) => {
        const held = { ...sizes, A, B, b } as UnitMatrices;
        return [spread(heldPullback(held, saved, tf.mul(rows(dy), scale as tf.Tensor)))];
      });
    }
    const { A, B, b } = weights;
    const kept = [...inputs, alignment, guarded.squaredNorm, guarded.ratio, scale, ...saved];
    return operation(where, [x, A, B, b], output, kept, (dy, kept) => {
      const [A2, B2, b2, patches, alignment, squaredNorm, ratio, scale, ...saved] = kept as tf.Tensor2D[];
      const upstream = rows(dy);
      const bySquare = tf.mul(
        scaleSlopeOf(squaredNorm as tf.Tensor2D, scale as tf.Tensor2D, norm),
        tf.sub(1, tf.square(ratio as tf.Tensor)),
      );
      const slope = tf.mul(bySquare, tf.mul(upstream, alignment as tf.Tensor2D));
      const matrices = { ...sizes, A: A2, B: B2, b: b2 } as UnitMatrices;
      const found = pullback(patches as tf.Tensor2D, matrices, saved, tf.mul(upstream, scale as tf.Tensor2D), slope as tf.Tensor2D);
      return [spread(found.patches), tf.reshape(found.A, A.shape), tf.reshape(found.B, B.shape), tf.reshape(found.b, b.shape)];
    });
  }) as tf.Tensor4D;
}

type Gradient = (dy: tf.Tensor, kept: readonly tf.Tensor[]) => tf.Tensor[];

/** An operation on `variables` whose value is known; its gradient finds `kept` again. */
function operation(
  where: string,
  variables: readonly tf.Tensor[],
  value: tf.Tensor,
  kept: readonly tf.Tensor[],
  gradient: Gradient,
): tf.Tensor {
  const op = tf.customGrad((...args) => {
    (args.at(-1) as unknown as tf.GradSaveFunc)([...kept]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      refuseOuterGradient(where);
      return gradient(dy, saved);
    };
    return { value: tf.clone(value), gradFunc };
  });
  return op(...variables);
}

/** What the gradient finds again is constant for a gradient around it, which would be wrong without a word. */
function refuseOuterGradient(where: string): void {
  if (tf.engine().state.gradientDepth === 0) return;
  throw new CodaError({
    kind: 'unsupported',
    where,
    problem: 'its gradient has no gradient of its own',
    hint: 'Use dauMap(x, x, weights): the same numbers in operations that may be differentiated again.',
  });
}

/** g as a factor of v: s, the guarded ‖v‖² → 1/√s (L2), or √s/(1+s) (SQ). */
export function dauScale(s: tf.Tensor2D, norm: DauNorm): tf.Tensor2D {
  return norm === 'l2' ? tf.rsqrt(s) : tf.div(tf.sqrt(s), tf.add(s, 1));
}

/** d scale / ds: −½ s^(−3/2), or (1−s) / (2√s (1+s)²). */
function scaleSlopeOf(s: tf.Tensor2D, scale: tf.Tensor2D, norm: DauNorm): tf.Tensor {
  if (norm === 'l2') return tf.div(tf.mul(scale, -0.5), s);
  return tf.mul(scale, tf.div(tf.div(tf.sub(1, s), tf.add(s, 1)), tf.mul(s, 2)));
}

/** Throws a CodaError for a norm that DAUs do not have; `where` names the function. */
export function checkNorm(where: string, norm: unknown): void {
  const hint = 'The bounds of efficient units (frobenius, spectral, product) belong to edauConv and edauMap.';
  checkName(`${where}: norm`, norm, ['sq', 'l2'], hint);
}

/** Throws a CodaError for a form that there is not. */
export function checkForm(where: string, form: unknown): void {
  const near = typeof form === 'string' ? nearestName(form, unitFormNames) : undefined;
  checkName(`${where}: form`, form, ['auto', ...unitFormNames], near && `Did you mean ${JSON.stringify(near)}?`);
}

function checkName(where: string, value: unknown, known: readonly unknown[], hint?: string): void {
  if (known.includes(value)) return;
  throw new CodaError({ kind: 'argument', where, problem: 'no such name', expected: known.join(' or '), got: described(value), hint });
}

/** Throws a CodaError for a number of units that is none; all of them may also be written as infinitely many. */
export function checkUnitsAtOnce(where: string, unitsAtOnce: unknown): void {
  if (unitsAtOnce === Infinity || (Number.isInteger(unitsAtOnce) && (unitsAtOnce as number) >= 1)) return;
  throw new CodaError({
    kind: 'argument',
    where: `${where}: unitsAtOnce`,
    problem: 'not a number of units',
    expected: 'an integer of at least 1',
    got: described(unitsAtOnce),
  });
}
