/**
 * Adam and SGD with momentum as pure functions: (parameters, gradients, slots) → (parameters′, slots′). No state and no tf.variable, so that a
 * step can be traced as one graph. What depends on the step number is computed on the host in float64 and enters as scalars.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, zerosArray, type NamedArrays, type NamedTensors, type WeightSpec } from '@coda-nets/core';

export type OptimiserConfig =
  | {
      readonly kind: 'adam';
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      /** `coupled`: λ·w is added to the gradient (L2). `decoupled`: w shrinks by η·λ·w beside the step (AdamW, arXiv 1711.05101). */
      readonly decay: 'coupled' | 'decoupled';
    }
  | { readonly kind: 'sgd'; readonly momentum: number; readonly nesterov: boolean };

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

type Update = (
  w: tf.Tensor,
  g: tf.Tensor,
  slots: Readonly<Record<string, tf.Tensor>>,
  scalars: NamedTensors,
  decay: number,
) => { readonly w: tf.Tensor; readonly slots: Readonly<Record<string, tf.Tensor>> };

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
 * With weight decay λ = `weightDecay` for every weight for which `decays(name)`:
 *
 * Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1, in the form at the end of its section 2), for each weight w with gradient g at update t:
 *
 *     m ← β₁m + (1 − β₁)g     v ← β₂v + (1 − β₂)g²     w ← w − α·m / (√v + ε̂)
 *     α = η·√(1 − β₂ᵗ) / (1 − β₁ᵗ)     ε̂ = ε·√(1 − β₂ᵗ)
 *
 * which is the usual m̂ / (√v̂ + ε) exactly. Differs from the paper: none; decay as in arXiv 1711.05101, algorithm 2.
 *
 * SGD, momentum μ (Sutskever et al. 2013, in PyTorch's form, where η is outside of the buffer):
 *
 *     m ← μm + g     w ← w − η·m     or with Nesterov   w ← w − η·(g + μm)
 */
export function optimiser(
  config: OptimiserConfig,
  { weightDecay = 0, decays = () => true }: { weightDecay?: number; decays?: (name: string) => boolean } = {},
): Optimiser {
  const decayOf = (name: string): number => (decays(name) ? weightDecay : 0);
  if (config.kind === 'adam') {
    const { beta1, beta2, epsilon, decay } = config;
    return {
      config,
      slotNames: ['m', 'v'],
      scalarNames: ['stepSize', 'epsilon', ...(decay === 'decoupled' ? ['shrink'] : [])],
      scalars: ({ learningRate, step }) => {
        const correction = Math.sqrt(1 - beta2 ** step);
        const scalars = { stepSize: (learningRate * correction) / (1 - beta1 ** step), epsilon: epsilon * correction };
        return decay === 'decoupled' ? { ...scalars, shrink: learningRate * weightDecay } : scalars;
      },
      apply: (...args) => applyEach(['m', 'v'], adam(beta1, beta2, decay === 'decoupled'), decayOf, ...args),
    };
  }
  const { momentum, nesterov } = config;
  const slotNames = momentum === 0 ? [] : ['m'];
  if (nesterov && momentum === 0) {
    throw new CodaError({
      kind: 'argument',
      where: 'optimiser: nesterov',
      problem: 'Nesterov needs a momentum',
      expected: 'momentum > 0',
      got: 'momentum 0',
    });
  }
  return {
    config,
    slotNames,
    scalarNames: ['learningRate'],
    scalars: ({ learningRate }) => ({ learningRate }),
    apply: (...args) => applyEach(slotNames, sgd(momentum, nesterov), decayOf, ...args),
  };
}

function adam(beta1: number, beta2: number, decoupled: boolean): Update {
  return (w, gradient, slots, scalars, decay) => {
    const g = decay === 0 || decoupled ? gradient : tf.add(gradient, tf.mul(w, decay));
    const m = tf.add(tf.mul(slots['m'] as tf.Tensor, beta1), tf.mul(g, 1 - beta1));
    const v = tf.add(tf.mul(slots['v'] as tf.Tensor, beta2), tf.mul(tf.square(g), 1 - beta2));
    const change = tf.div(tf.mul(m, scalars['stepSize'] as tf.Tensor), tf.add(tf.sqrt(v), scalars['epsilon'] as tf.Tensor));
    const kept = decay !== 0 && decoupled ? tf.sub(w, tf.mul(w, scalars['shrink'] as tf.Tensor)) : w;
    return { w: tf.sub(kept, change), slots: { m, v } };
  };
}

function sgd(momentum: number, nesterov: boolean): Update {
  return (w, gradient, slots, scalars, decay) => {
    const g = decay === 0 ? gradient : tf.add(gradient, tf.mul(w, decay));
    const rate = scalars['learningRate'] as tf.Tensor;
    if (momentum === 0) return { w: tf.sub(w, tf.mul(g, rate)), slots: {} };
    const m = tf.add(tf.mul(slots['m'] as tf.Tensor, momentum), g);
    const direction = nesterov ? tf.add(g, tf.mul(m, momentum)) : m;
    return { w: tf.sub(w, tf.mul(direction, rate)), slots: { m } };
  };
}

function applyEach(
  slotNames: readonly string[],
  update: Update,
  decayOf: (name: string) => number,
  parameters: NamedTensors,
  gradients: NamedTensors,
  slots: NamedTensors,
  scalars: NamedTensors,
): { parameters: NamedTensors; slots: NamedTensors } {
  const nextParameters: Record<string, tf.Tensor> = {};
  const nextSlots: Record<string, tf.Tensor> = {};
  for (const [name, w] of Object.entries(parameters)) {
    const own = Object.fromEntries(slotNames.map((slot) => [slot, slots[slotName(name, slot)] as tf.Tensor]));
    const next = update(w, gradients[name] as tf.Tensor, own, scalars, decayOf(name));
    nextParameters[name] = next.w;
    for (const slot of slotNames) nextSlots[slotName(name, slot)] = next.slots[slot] as tf.Tensor;
  }
  return { parameters: nextParameters, slots: nextSlots };
}
