/** Adam, SGD and LAMB against the formulas of their papers, step by step in float64 loops. PyTorch's values: training-golden.test.ts. */
import type { NamedTensors } from '@coda-nets/core';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { initialSlots, optimiser, slotName, type OptimiserConfig } from '../src/index.ts';

/** Six updates, each a few float32 roundings. */
const TOLERANCE = { rtol: 3e-6, atol: 1e-7 } as const;
const shapes: Readonly<Record<string, readonly number[]>> = {
  'conv.weight': [3, 2],
  'norm.gamma': [2],
  'fc.bias': [4],
};
const decays = (name: string): boolean => name === 'conv.weight';
const rates = [0.1, 0.05, 0.2, 0.1, 0.01, 0.3];
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

beforeAll(() => useBackend('cpu'));

type Twin = (w: number, g: number, slots: number[], t: number, rate: number, lambda: number) => number;

/** arXiv 1412.6980, algorithm 1 as printed, with bias-corrected moments; arXiv 1711.05101, algorithm 2, for where λ enters. */
const adamTwin =
  (beta1: number, beta2: number, eps: number, decoupled: boolean): Twin =>
  (w, gradient, slots, t, rate, lambda) => {
    const g = decoupled ? gradient : gradient + lambda * w;
    slots[0] = beta1 * (slots[0] ?? 0) + (1 - beta1) * g;
    slots[1] = beta2 * (slots[1] ?? 0) + (1 - beta2) * g * g;
    const mHat = slots[0] / (1 - beta1 ** t);
    const vHat = slots[1] / (1 - beta2 ** t);
    return w - rate * (mHat / (Math.sqrt(vHat) + eps)) - (decoupled ? rate * lambda * w : 0);
  };
/** torch.optim.SGD as its documentation states it. */
const sgdTwin =
  (mu: number, nesterov: boolean): Twin =>
  (w, gradient, slots, _, rate, lambda) => {
    const g = gradient + lambda * w;
    if (mu === 0) return w - rate * g;
    slots[0] = mu * (slots[0] ?? 0) + g;
    return w - rate * (nesterov ? g + mu * slots[0] : slots[0]);
  };

const adam = { kind: 'adam', beta1: 0.8, beta2: 0.95, epsilon: 1e-2 } as const;
const cases: readonly [string, OptimiserConfig, number, Twin][] = [
  ['Adam', { ...adam, decay: 'coupled' }, 0, adamTwin(0.8, 0.95, 1e-2, false)],
  ['Adam with L2', { ...adam, decay: 'coupled' }, 0.3, adamTwin(0.8, 0.95, 1e-2, false)],
  ['AdamW', { ...adam, decay: 'decoupled' }, 0.3, adamTwin(0.8, 0.95, 1e-2, true)],
  ['AdamW by its name', { kind: 'adamw', beta1: 0.8, beta2: 0.95, epsilon: 1e-2 }, 0.3, adamTwin(0.8, 0.95, 1e-2, true)],
  ['SGD with L2', { kind: 'sgd', momentum: 0, nesterov: false }, 0.3, sgdTwin(0, false)],
  ['SGD with momentum', { kind: 'sgd', momentum: 0.9, nesterov: false }, 0, sgdTwin(0.9, false)],
  ['SGD with Nesterov and L2', { kind: 'sgd', momentum: 0.9, nesterov: true }, 0.3, sgdTwin(0.9, true)],
];

describe.each(cases)('%s', (_, config, weightDecay, twin) => {
  it('moves weights and slots as the paper says, decays only what decays', () => {
    const optimise = optimiser(config, { weightDecay, decays });
    const specs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape, role: 'parameter' as const }]));
    const draw = (seed: number) =>
      Object.entries(shapes).map(([name, shape], i) => [name, randomValues(sizeOf(shape), seed * 10 + i)] as const);
    const tensors = (values: Iterable<readonly [string, ArrayLike<number>]>): Record<string, tf.Tensor> =>
      Object.fromEntries([...values].map(([name, data]) => [name, tf.tensor(Float32Array.from(data), [...(shapes[name] as number[])])]));
    tf.tidy(() => {
      let parameters: NamedTensors = tensors(draw(1));
      let slots: NamedTensors = Object.fromEntries(
        Object.entries(initialSlots(optimise, specs)).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]),
      );
      const expected = new Map(draw(1).map(([name, data]) => [name, Float64Array.from(data)]));
      const memory = new Map([...expected].map(([name, w]) => [name, Array.from(w, (): number[] => [])]));
      for (const [i, learningRate] of rates.entries()) {
        const gradients = draw(i + 2);
        const scalars = Object.fromEntries(
          Object.entries(optimise.scalars({ learningRate, step: i + 1 })).map(([name, x]) => [name, tf.scalar(x)]),
        );
        ({ parameters, slots } = optimise.apply(parameters, tensors(gradients), slots, scalars));
        for (const [name, g] of gradients) {
          const w = expected.get(name) as Float64Array;
          const own = memory.get(name) as number[][];
          for (let k = 0; k < w.length; k++) {
            const lambda = decays(name) ? weightDecay : 0;
            w[k] = twin(w[k] as number, g[k] as number, own[k] as number[], i + 1, learningRate, lambda);
          }
          expectClose(parameters[name] as tf.Tensor, w, TOLERANCE);
          expect(own[0]?.length).toBe(optimise.slotNames.length);
          for (const [s, slot] of optimise.slotNames.entries()) {
            const values = own.map((each) => each[s] as number);
            expectClose(slots[slotName(name, slot)] as tf.Tensor, values, TOLERANCE);
          }
        }
      }
    });
  });
});

describe('LAMB', () => {
  /** arXiv 1904.00962, algorithm 2 as printed, φ the identity; one weight as a plain array. */
  const step = (
    w: number[],
    g: ArrayLike<number>,
    m: number[],
    v: number[],
    t: number,
    rate: number,
    lambda: number,
    adapts: boolean,
  ): number[] => {
    const [beta1, beta2, eps] = [0.8, 0.95, 1e-2];
    const r = w.map((x, k) => {
      m[k] = beta1 * (m[k] ?? 0) + (1 - beta1) * (g[k] as number);
      v[k] = beta2 * (v[k] ?? 0) + (1 - beta2) * (g[k] as number) ** 2;
      return m[k] / (1 - beta1 ** t) / (Math.sqrt(v[k] / (1 - beta2 ** t)) + eps) + lambda * x;
    });
    const norm = (x: readonly number[]): number => Math.sqrt(x.reduce((sum, each) => sum + each * each, 0));
    const ratio = adapts && norm(w) > 0 && norm(r) > 0 ? norm(w) / norm(r) : 1;
    return w.map((x, k) => x - rate * ratio * (r[k] as number));
  };

  it.each([
    [0.3, 1],
    [0, 1],
    [0.3, 0.1],
  ])('moves a matrix in proportion to its length, a bias not, λ = %d, at %d times the rate', (weightDecay, share) => {
    const config = { kind: 'lamb', beta1: 0.8, beta2: 0.95, epsilon: 1e-2 } as const;
    const optimise = optimiser(config, { weightDecay, decays, rateOf: () => share });
    // 'still' has neither weights nor gradients at first: no 0 / 0
    const names = ['conv.weight', 'fc.bias', 'conv.weight.still'] as const;
    const shapeOf = (name: string): number[] => [...(shapes[name] ?? [2, 2])];
    const start = (name: string, i: number): number[] =>
      name.endsWith('still') ? [0, 0, 0, 0] : [...randomValues(sizeOf(shapeOf(name)), 40 + i)];
    const own = optimiser(config, { weightDecay, decays: (name) => name.startsWith('conv'), rateOf: () => share });
    expect(own.scalarNames).toEqual(optimise.scalarNames);
    tf.tidy(() => {
      let parameters: NamedTensors = Object.fromEntries(names.map((name, i) => [name, tf.tensor(start(name, i), shapeOf(name))]));
      let slots: NamedTensors = Object.fromEntries(
        names.flatMap((name) => own.slotNames.map((slot) => [slotName(name, slot), tf.zeros(shapeOf(name))])),
      );
      const twins = names.map((name, i) => ({ w: start(name, i), m: [] as number[], v: [] as number[] }));
      for (const [i, learningRate] of rates.entries()) {
        const gradients = names.map((name, k) =>
          name.endsWith('still') && i < 2 ? new Float32Array(4) : randomValues(sizeOf(shapeOf(name)), 10 * (i + 2) + k),
        );
        const scalars = Object.entries(own.scalars({ learningRate, step: i + 1 })).map(([name, x]) => [name, tf.scalar(x)]);
        const tensors = Object.fromEntries(names.map((name, k) => [name, tf.tensor(gradients[k] as Float32Array, shapeOf(name))]));
        ({ parameters, slots } = own.apply(parameters, tensors, slots, Object.fromEntries(scalars) as NamedTensors));
        for (const [k, name] of names.entries()) {
          const twin = twins[k] as (typeof twins)[0];
          const adapts = name.startsWith('conv');
          twin.w = step(
            twin.w,
            gradients[k] as Float32Array,
            twin.m,
            twin.v,
            i + 1,
            learningRate * share,
            adapts ? weightDecay : 0,
            adapts,
          );
          expectClose(parameters[name] as tf.Tensor, twin.w, TOLERANCE);
        }
      }
    });
  });
});

describe('slots', () => {
  it('are zeros beside every trained weight and no other', () => {
    const slots = initialSlots(optimiser({ ...adam, decay: 'coupled' }), {
      a: { shape: [2], role: 'parameter' },
      b: { shape: [2], role: 'frozen' },
      c: { shape: [2], role: 'statistic' },
    });
    expect(Object.entries(slots).map(([name, { data }]) => [name, [...data]])).toEqual([
      ['a#m', [0, 0]],
      ['a#v', [0, 0]],
    ]);
  });

  it('are needed by Nesterov', () => {
    expect(() => optimiser({ kind: 'sgd', momentum: 0, nesterov: true })).toThrow(
      'optimiser: nesterov: Nesterov needs a momentum; expected momentum > 0, got momentum 0',
    );
  });
});
