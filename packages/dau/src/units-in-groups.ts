/**
 * Any form of a layer's units, some units at a time: what a form needs between its values and their gradient is not kept, but computed
 * once more. Memory for time: one more pass forward.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { UnitForm, UnitGradients, UnitMatrices } from './unit-form.ts';

export function unitsInGroups(form: UnitForm, unitsAtOnce: number): UnitForm {
  const groupsOf = (weights: UnitMatrices): Group[] =>
    Array.from({ length: Math.ceil(weights.n / unitsAtOnce) }, (_, i) => ({
      first: i * unitsAtOnce,
      count: Math.min(unitsAtOnce, weights.n - i * unitsAtOnce),
    }));
  return {
    values(patches, weights) {
      const parts = groupsOf(weights).map((group) =>
        tf.tidy(() => {
          const { alignment, squaredNorm, magnitude } = form.values(patches, unitsOf(weights, group));
          return { alignment, squaredNorm, magnitude };
        }),
      );
      const all = (name: 'alignment' | 'squaredNorm' | 'magnitude'): tf.Tensor2D =>
        tf.concat(
          parts.map((part) => part[name]),
          1,
        );
      return { alignment: all('alignment'), squaredNorm: all('squaredNorm'), magnitude: all('magnitude'), saved: [patches] };
    },

    pullback(patches, weights, _, a, s) {
      const again = computedAnew(patches, a);
      const parts = groupsOf(weights).map((group) =>
        tf.tidy(() => {
          const own = unitsOf(weights, group);
          const { saved } = form.values(again, own);
          return { ...form.pullback(again, own, saved, columns(a, group), columns(s, group)) };
        }),
      );
      const all = (name: keyof UnitGradients): tf.Tensor2D[] => parts.map((part) => part[name]);
      return {
        patches: total(all('patches')),
        A: tf.concat(all('A'), 1),
        B: total(all('B')),
        b: tf.concat(all('b'), 1),
      };
    },

    heldPullback(weights, [patches], a) {
      const again = computedAnew(patches as tf.Tensor2D, a);
      return total(
        groupsOf(weights).map((group) =>
          tf.tidy(() => {
            const own = unitsOf(weights, group);
            const { saved } = form.values(again, own);
            return form.heldPullback(own, saved, columns(a, group));
          }),
        ),
      );
    },
  };
}

interface Group {
  readonly first: number;
  readonly count: number;
}

function unitsOf({ A, B, b, d, r }: UnitMatrices, group: Group): UnitMatrices {
  const { first, count } = group;
  return { d, r, n: count, A: tf.slice(A, [0, first * r], [d, count * r]), B, b: columns(b, group) };
}

function columns(x: tf.Tensor2D, { first, count }: Group): tf.Tensor2D {
  return tf.slice(x, [0, first], [x.shape[0], count]);
}

function total(terms: readonly tf.Tensor2D[]): tf.Tensor2D {
  return tf.addN([...terms]);
}

/**
 * x, in a way that a compiled graph cannot take for what it has computed before: it would keep that instead. a² > ∞ is never true, which no
 * optimiser knows, and is there only once the gradient is.
 */
function computedAnew(x: tf.Tensor2D, a: tf.Tensor2D): tf.Tensor2D {
  const zero = tf.cast(tf.greater(tf.square(tf.slice(a, [0, 0], [1, 1])), Infinity), 'float32');
  return tf.add(x, zero);
}
