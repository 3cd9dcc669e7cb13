/**
 * Adam, AdamW, SGD with momentum and LAMB as pure functions: (parameters, gradients, slots) → (parameters′, slots′). No state and no tf.variable, so
 * that a step can be traced as one graph. What depends on the step number is computed on the host in float64 and enters as scalars.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, zerosArray, type NamedArrays, type NamedTensors, type WeightSpec } from '@coda-nets/core';
import { joinedVectors } from './joined-vectors.ts';
import { adam, lamb, sgd, type Update } from './optimiser-updates.ts';

export type OptimiserConfig =
  | {
      readonly kind: 'adam';
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      /** `coupled`: λ·w is added to the gradient (L2). `decoupled`: w shrinks by η·λ·w beside the step (AdamW, arXiv 1711.05101). */
      readonly decay: 'coupled' | 'decoupled';
    }
  /** Adam with `decoupled` decay (arXiv 1711.05101, algorithm 2). */
  | { readonly kind: 'adamw'; readonly beta1: number; readonly beta2: number; readonly epsilon: number }
  | { readonly kind: 'sgd'; readonly momentum: number; readonly nesterov: boolean }
  | { readonly kind: 'lamb'; readonly beta1: number; readonly beta2: number; readonly epsilon: number };

export interface OptimiserOptions {
  /** λ */
  readonly weightDecay?: number;
  /** Whether λ holds for a weight. */
  readonly decays?: (name: string) => boolean;
  /** What η is multiplied by for a weight. */
  readonly rateOf?: (name: string) => number;
}

export interface OptimiserStep {
  /** η */
  readonly learningRate: number;
  /** t: 1 at the first update. */
  readonly step: number;
}

export interface Optimiser {
  readonly config: OptimiserConfig;
  /** Slots of each parameter: the slot s of the weight w is called `w#s`. Float32, the parameter's shape. */
  readonly slotNames: readonly string[];
  /** Names of the scalars that `apply` takes. */
  readonly scalarNames: readonly string[];
  /** The scalars of one update, in float64. */
  scalars(step: OptimiserStep): Readonly<Record<string, number>>;
  /** One update; `parameters` and `gradients` have the same names. Tensor operations only; disposes nothing of its arguments. */
  apply(
    parameters: NamedTensors,
    gradients: NamedTensors,
    slots: NamedTensors,
    scalars: NamedTensors,
  ): { readonly parameters: NamedTensors; readonly slots: NamedTensors };
}

/** `slotName('fc.weight', 'm')` is `fc.weight#m`. */
export function slotName(weight: string, slot: string): string {
  return `${weight}#${slot}`;
}

/** Zero slots for all trained weights. */
export function initialSlots(
  optimiser: Pick<Optimiser, 'slotNames'>,
  weights: Readonly<Record<string, Pick<WeightSpec, 'shape' | 'role'>>>,
): NamedArrays {
  const trained = Object.entries(weights).filter(([, { role }]) => role === 'parameter');
  return Object.fromEntries(
    trained.flatMap(([name, { shape }]) => optimiser.slotNames.map((slot) => [slotName(name, slot), zerosArray('float32', shape)])),
  );
}

/**
 * With weight decay λ = `weightDecay` for every weight for which `decays(name)`, and η times `rateOf(name)`:
 *
 * Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1, in the form at the end of its section 2), for each weight w with gradient g at update t:
 *
 *     m ← β₁m + (1 − β₁)g     v ← β₂v + (1 − β₂)g²     w ← w − α·m / (√v + ε̂)
 *     α = η·√(1 − β₂ᵗ) / (1 − β₁ᵗ)     ε̂ = ε·√(1 − β₂ᵗ)
 *
 * which is the usual m̂ / (√v̂ + ε) exactly. Differs from the paper: none; decay as in arXiv 1711.05101, algorithm 2, where the schedule's rate also
 * multiplies λ, as in PyTorch's AdamW.
 *
 * SGD, momentum μ (Sutskever et al. 2013, in PyTorch's form, where η is outside of the buffer):
 *
 *     m ← μm + g     w ← w − η·m     or with Nesterov   w ← w − η·(g + μm)
 *
 * LAMB (You et al., arXiv 1904.00962, algorithm 2) with m and v as Adam's:
 *
 *     r = m̂ / (√v̂ + ε) + λw     w ← w − η·(‖w‖ / ‖r‖)·r
 *
 * with φ the identity, the ratio 1 where ‖w‖ or ‖r‖ is 0, and, as its authors trained, 1 for weights that do not decay (biases, norms): at their
 * start in 0 their steps would otherwise have almost no length.
 */
export function optimiser(
  config: OptimiserConfig,
  { weightDecay = 0, decays = () => true, rateOf = () => 1 }: OptimiserOptions = {},
): Optimiser {
  const apply =
    (slotNames: readonly string[], update: (name: string) => Update, rates: readonly string[]): Optimiser['apply'] =>
    (...args) =>
      applyEach(
        { slotNames, update, elementwise: config.kind !== 'lamb', rates, rateOf, decayOf: (name) => (decays(name) ? weightDecay : 0) },
        ...args,
      );

  if (config.kind === 'sgd') {
    const { momentum, nesterov } = config;
    if (nesterov && momentum === 0) throw needsMomentum();
    const slotNames = momentum === 0 ? [] : ['m'];
    const update = sgd(momentum, nesterov);
    return {
      config,
      slotNames,
      scalarNames: ['learningRate'],
      scalars: ({ learningRate }) => ({ learningRate }),
      apply: apply(slotNames, () => update, ['learningRate']),
    };
  }
  const { beta1, beta2, epsilon } = config;
  const slotNames = ['m', 'v'];
  if (config.kind === 'lamb') {
    return {
      config,
      slotNames,
      scalarNames: ['learningRate', 'scale', 'epsilon'],
      scalars: ({ learningRate, step }) => {
        const correction = Math.sqrt(1 - beta2 ** step);
        return { learningRate, scale: correction / (1 - beta1 ** step), epsilon: epsilon * correction };
      },
      apply: apply(slotNames, (name) => lamb(config, decays(name)), ['learningRate']),
    };
  }
  const decoupled = config.kind === 'adamw' || config.decay === 'decoupled';
  const update = adam(config, decoupled);
  return {
    config,
    slotNames,
    scalarNames: ['stepSize', 'epsilon', ...(decoupled ? ['shrink'] : [])],
    scalars: ({ learningRate, step }) => {
      const correction = Math.sqrt(1 - beta2 ** step);
      const scalars = { stepSize: (learningRate * correction) / (1 - beta1 ** step), epsilon: epsilon * correction };
      return decoupled ? { ...scalars, shrink: learningRate * weightDecay } : scalars;
    },
    apply: apply(slotNames, () => update, ['stepSize', 'shrink']),
  };
}

function needsMomentum(): CodaError {
  return new CodaError({
    kind: 'argument',
    where: 'optimiser: nesterov',
    problem: 'Nesterov needs a momentum',
    expected: 'momentum > 0',
    got: 'momentum 0',
  });
}

interface EachWeight {
  readonly slotNames: readonly string[];
  readonly update: (name: string) => Update;
  /** Whether a number of a weight becomes what it does whatever the others are. */
  readonly elementwise: boolean;
  /** Names of the scalars in proportion to η. */
  readonly rates: readonly string[];
  readonly rateOf: (name: string) => number;
  readonly decayOf: (name: string) => number;
}

function applyEach(
  { slotNames, update, elementwise, rates, rateOf, decayOf }: EachWeight,
  parameters: NamedTensors,
  gradients: NamedTensors,
  slots: NamedTensors,
  scalars: NamedTensors,
): { parameters: NamedTensors; slots: NamedTensors } {
  const nextParameters: Record<string, tf.Tensor> = {};
  const nextSlots: Record<string, tf.Tensor> = {};
  /** Scalars by rate: one product for all weights of one rate, and none for those of rate 1. */
  const atRate = new Map<number, NamedTensors>([[1, scalars]]);
  for (const { first, join, split } of joinedVectors(parameters, elementwise, (name) => `${rateOf(name)} ${decayOf(name)}`)) {
    const rate = rateOf(first);
    const own = Object.fromEntries(slotNames.map((slot) => [slot, join(slots, (name) => slotName(name, slot))]));
    const scaled = atRate.get(rate) ?? scalarsAt(rate, rates, scalars);
    atRate.set(rate, scaled);
    const next = update(first)(join(parameters), join(gradients), own, scaled, decayOf(first));
    Object.assign(nextParameters, split(next.w));
    for (const slot of slotNames) {
      for (const [name, x] of Object.entries(split(next.slots[slot] as tf.Tensor))) nextSlots[slotName(name, slot)] = x;
    }
  }
  return { parameters: nextParameters, slots: nextSlots };
}

function scalarsAt(rate: number, rates: readonly string[], scalars: NamedTensors): NamedTensors {
  return Object.fromEntries(Object.entries(scalars).map(([name, x]) => [name, rates.includes(name) ? tf.mul(x, rate) : x]));
}
