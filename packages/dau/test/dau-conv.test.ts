import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import { expectClose, expectOnlyResult, finiteDifference, randomTensor, randomValues, useBackend } from '@coda-nets/tools/testkit';
import { dauConv, defaultDauEpsilon, type DauNorm, type DauWeights } from '../src/index.ts';
import { geometryOf } from './geometry-of.ts';
import { unitCases as cases, type UnitCase as Case } from './unit-cases.ts';
import { slowDau, slowUnits, type SlowDau } from './slow-dau.ts';

/** float32 sums of up to 75·7 products against float64; relative to the largest, since the sums cancel. */
const valueTolerance = { rtol: 3e-6, relativeTo: 'largest' } as const;
/** One form against the other, both in float32. */
const formTolerance = { rtol: 1e-6, relativeTo: 'largest' } as const;
/** The same with one more level of sums, through a square root and a quotient. */
const gradientTolerance = { rtol: 2e-5, relativeTo: 'largest' } as const;
/** For L2 over one number w = ±1: its gradient is 0, left over when terms of size 10 cancel in float32. */
const zeroGradient = { atol: 1e-5 } as const;

beforeAll(() => useBackend('cpu'));

interface Problem {
  readonly x: tf.Tensor4D;
  readonly weights: DauWeights;
  readonly slow: SlowDau;
}

function problem({ size, k, n, r, stride, padding }: Case, seed: number, norm: DauNorm, eps = defaultDauEpsilon): Problem {
  const C = size[3];
  const x = randomTensor<tf.Rank.R4>([...size], seed);
  const A = randomTensor([k, k, C, n, r] as never, seed + 100);
  const B = randomTensor([k, k, C, r] as never, seed + 200);
  const b = randomTensor([k, k, C, n] as never, seed + 300);
  const [xs, As, Bs, bs] = [x, A, B, b].map((t) => Float64Array.from(t.dataSync())) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  return { x, weights: { A, B, b }, slow: { x: xs, shape: size, A: As, B: Bs, b: bs, k, n, r, stride, padding, norm, eps } };
}

const forms = ['low-rank', 'explicit'] as const;
const variants = cases.flatMap((c) =>
  (['sq', 'l2'] as const).flatMap((norm) => [1, 2].flatMap((seed) => forms.map((form) => ({ c, norm, seed, form })))),
);
const named = variants.map(
  ({ c, norm, seed, form }) => [`${form} ${norm} seed ${seed} ${JSON.stringify(c)}`, c, norm, seed, form] as const,
);

describe('dauConv', () => {
  it('computes the example one can check by hand', () => {
    // d = 3, r = 2: A = [[1,0],[0,1],[1,1]], B = [[1,0,1],[0,1,0]], b = [0.1, 0, −0.1], x = [1, 2, −1].
    // Bx = [0, 2], v = [0.1, 2, 1.9], v·x = 2.2, ‖v‖² = 7.62.
    const output = (norm: DauNorm): number =>
      tf.tidy(
        () =>
          dauConv(
            tf.tensor4d([1, 2, -1], [1, 1, 1, 3]),
            {
              A: tf.tensor([1, 0, 0, 1, 1, 1], [1, 1, 3, 1, 2]),
              B: tf.tensor([1, 0, 0, 1, 1, 0], [1, 1, 3, 2]),
              b: tf.tensor([0.1, 0, -0.1], [1, 1, 3, 1]),
            },
            { norm },
          ).dataSync()[0] as number,
      );
    expect(output('l2')).toBeCloseTo(2.2 / Math.sqrt(7.62), 5);
    expect(output('l2')).toBeCloseTo(0.79698, 5);
    expect(output('sq')).toBeCloseTo((2.2 * Math.sqrt(7.62)) / 8.62, 5);
    expect(output('sq')).toBeCloseTo(0.70452, 5);
  });

  it.each(named)('equals loops that build every weight (%s)', (_, c, norm, seed, form) => {
    tf.tidy(() => {
      const { x, weights, slow } = problem(c, seed, norm);
      const y = expectOnlyResult(() => dauConv(x, weights, { ...geometryOf(c), norm, form }));
      const side = (length: number): number => Math.floor((length + 2 * c.padding - c.k) / c.stride) + 1;
      expect(y.shape).toEqual([c.size[0], side(c.size[1]), side(c.size[2]), c.n]);
      expectClose(y, slowDau(slow), valueTolerance);
      // The same however it is called: held weights change gradients alone.
      expect(withDynamicWeightsHeld(() => dauConv(x, weights, { ...geometryOf(c), norm, form })).dataSync()).toEqual(y.dataSync());
    });
  });

  it('leaves one tensor, its result', () => {
    const [x, A, B, b] = [tf.ones([1, 3, 3, 2]), tf.ones([3, 3, 2, 2, 2]), tf.ones([3, 3, 2, 2]), tf.ones([3, 3, 2, 2])] as const;
    const before = tf.memory().numTensors;
    const y = dauConv(x as tf.Tensor4D, { A, B, b }, { padding: 1 });
    expect(tf.memory().numTensors).toBe(before + 1);
    tf.dispose([x, A, B, b, y]);
  });

  it.each(named.filter(([, c, , seed]) => seed === 1 && c.size[1] < 9))(
    'has the gradients of those loops (%s)',
    (_, c, norm, seed, form) => {
      tf.tidy(() => {
        const { x, weights, slow } = problem(c, seed, norm);
        const outputs = slowDau(slow).length;
        const direction = randomValues(outputs, seed + 400);
        const loss = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Scalar => {
          const y = dauConv(x as tf.Tensor4D, { A, B, b }, { ...geometryOf(c), norm, form });
          return tf.sum(tf.mul(y, tf.tensor(direction, y.shape)));
        };
        const gradients = tf.grads(loss as never)([x, weights.A, weights.B, weights.b]);
        for (const [i, name] of (['x', 'A', 'B', 'b'] as const).entries()) {
          const slowLoss = (value: Float64Array): number =>
            slowDau({ ...slow, [name]: value }).reduce((sum, y, j) => sum + y * (direction[j] as number), 0);
          const tolerance = { ...gradientTolerance, ...zeroGradient };
          expectClose(gradients[i] as tf.Tensor, finiteDifference(slowLoss, slow[name]), tolerance);
        }
      });
    },
  );

  it.each(named)('has w(x) as its gradient under held weights (%s)', (_, c, norm, seed, form) => {
    tf.tidy(() => {
      const { x, weights, slow } = problem(c, seed, norm);
      const units = slowUnits(slow);
      const direction = randomValues(units.length, seed + 400);
      const loss = (x: tf.Tensor): tf.Scalar => {
        const y = dauConv(x as tf.Tensor4D, weights, { ...geometryOf(c), norm, form });
        return tf.sum(tf.mul(y, tf.tensor(direction, y.shape)));
      };
      const gradient = withDynamicWeightsHeld(() => tf.grad(loss as never)(x));
      // Σ direction·w, put back where its patch was taken from: the same loops over an input of indices.
      const index = slowUnits({ ...slow, x: slow.x.map((_, i) => i + 1) });
      const expected = new Float64Array(slow.x.length);
      for (const [u, { w }] of units.entries()) {
        for (const [i, wi] of w.entries()) {
          const place = ((index[u] as { patch: Float64Array }).patch[i] as number) - 1;
          if (place >= 0) expected[place] = (expected[place] as number) + wi * (direction[u] as number);
        }
      }
      expectClose(gradient, expected, gradientTolerance);
    });
  });

  it.each(named.filter(([, c, , seed]) => seed === 1 && c.n > 1))('is the same with fewer units at once (%s)', (_, c, norm, seed, form) => {
    tf.tidy(() => {
      const { x, weights } = problem(c, seed, norm);
      const run = (unitsAtOnce: number) => {
        const loss = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Scalar => {
          const y = dauConv(x as tf.Tensor4D, { A, B, b }, { ...geometryOf(c), norm, form, unitsAtOnce });
          return tf.sum(tf.mul(y, tf.tensor(randomValues(y.size, seed), y.shape)));
        };
        const { value, grads } = expectOnlyResult(() => tf.valueAndGrads(loss as never)([x, weights.A, weights.B, weights.b]));
        const held = withDynamicWeightsHeld(() => tf.grad((t: tf.Tensor) => loss(t, weights.A, weights.B, weights.b))(x));
        return [value, ...grads, held];
      };
      const expected = run(c.n);
      for (const unitsAtOnce of [1, c.n - 1]) {
        for (const [i, actual] of run(unitsAtOnce).entries()) expectClose(actual, expected[i] as tf.Tensor, valueTolerance);
      }
    });
  });

  it('names a count of units that is none', () => {
    tf.tidy(() => {
      const weights = { A: tf.zeros([1, 1, 2, 4, 5]), B: tf.zeros([1, 1, 2, 5]), b: tf.zeros([1, 1, 2, 4]) };
      expect(() => dauConv(tf.zeros([1, 2, 2, 2]), weights, { unitsAtOnce: 1.5 })).toThrow(
        'dauConv: unitsAtOnce: not a number of units; expected an integer of at least 1, got 1.5',
      );
    });
  });

  it('bounds the output by ‖patch‖ whatever the weights (‖w‖ ≤ 1)', () => {
    const dimension = fc.integer({ min: 1, max: 3 });
    fc.assert(
      fc.property(
        dimension,
        dimension,
        dimension,
        dimension,
        fc.constantFrom<DauNorm>('sq', 'l2'),
        fc.integer({ min: 0, max: 1e6 }),
        fc.integer({ min: -4, max: 4 }),
        fc.integer({ min: -4, max: 4 }),
        (k, C, n, r, norm, seed, xPower, weightPower) => {
          tf.tidy(() => {
            const padding = k > 1 ? 1 : 0;
            const c = { size: [1, 4, 3, C], k, n, r, stride: 1, padding } as const;
            const {
              x,
              weights: { A, B, b },
            } = problem(c, seed, norm);
            const scaled = tf.mul(x, 10 ** xPower) as tf.Tensor4D;
            const grow = (t: tf.Tensor): tf.Tensor => tf.mul(t, 10 ** weightPower);
            const y = dauConv(scaled, { A: grow(A), B: grow(B), b: grow(b) }, { padding, norm });
            const patchNorm = tf.sqrt(
              tf.conv2d(
                tf.pad(tf.square(scaled), [
                  [0, 0],
                  [padding, padding],
                  [padding, padding],
                  [0, 0],
                ]),
                tf.ones([k, k, C, 1]) as tf.Tensor4D,
                1,
                'valid',
              ),
            );
            // 1e-3: float32 loses digits of ‖v‖² where Bx and b nearly cancel.
            const excess = tf.max(tf.sub(tf.abs(y), tf.mul(patchNorm, 1 + 1e-3))).dataSync()[0] as number;
            expect(excess).toBeLessThanOrEqual(0);
          });
        },
      ),
      { numRuns: 150, seed: 20_240_601 },
    );
  });

  it.each(['sq', 'l2'] as const)('reaches the bound where the weight aligns with the patch (%s)', (norm) => {
    tf.tidy(() => {
      const x = tf.tensor4d([3, 0, 4], [1, 1, 1, 3]);
      const weights = { A: tf.zeros([1, 1, 3, 1, 1]), B: tf.zeros([1, 1, 3, 1]), b: tf.reshape(tf.mul(x, 1000), [1, 1, 3, 1]) };
      expect(dauConv(x, weights, { norm }).dataSync()[0]).toBeCloseTo(5, 4);
    });
  });

  it.each(['sq', 'l2'] as const)('is 0 with a finite gradient at v = 0 (%s)', (norm) => {
    tf.tidy(() => {
      const x = tf.ones([1, 3, 3, 2]) as tf.Tensor4D;
      const zeros = [tf.zeros([3, 3, 2, 2, 2]), tf.zeros([3, 3, 2, 2]), tf.zeros([3, 3, 2, 2])];
      const run = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Scalar =>
        tf.sum(dauConv(x as tf.Tensor4D, { A, B, b }, { norm }));
      expect(run(x, ...(zeros as [tf.Tensor, tf.Tensor, tf.Tensor])).dataSync()[0]).toBe(0);
      for (const gradient of tf.grads(run as never)([x, ...zeros])) {
        expect(gradient.dataSync().every(Number.isFinite)).toBe(true);
      }
    });
  });

  it.each(['sq', 'l2'] as const)('is finite where rounding takes ‖v‖² below 0 (%s)', (norm) => {
    tf.tidy(() => {
      const [channels, n, r] = [8, 64, 4];
      const x = randomTensor<tf.Rank.R4>([1, 1, 1, channels], 1, { min: 0 });
      const A = randomTensor([1, 1, channels, n, r] as never, 2, { min: -100, max: 100 });
      const B = randomTensor([1, 1, channels, r] as never, 3);
      const u = tf.matMul(tf.reshape(x, [1, channels]), tf.reshape(B, [channels, r]));
      // b = −A u, so that v = 0 for every unit but for rounding.
      const b = tf.reshape(tf.neg(tf.matMul(tf.reshape(A, [channels * n, r]), tf.reshape(u, [r, 1]))), [1, 1, channels, n]);
      const { value, grad } = tf.valueAndGrad((t: tf.Tensor) => tf.sum(dauConv(t as tf.Tensor4D, { A, B, b }, { norm })))(x);
      expect(Number.isFinite(value.dataSync()[0])).toBe(true);
      expect(grad.dataSync().every(Number.isFinite)).toBe(true);
    });
  });

  it.each([
    [
      'another channel count',
      [1, 4, 4, 5],
      'dauConv: x: x does not fit a 3×3 kernel with padding 0 over 2 channels; expected [N, H, W, 2] with H and W at least 3, got [1, 4, 4, 5]',
    ],
    [
      'a map smaller than the kernel',
      [1, 2, 4, 2],
      'dauConv: x: x does not fit a 3×3 kernel with padding 0 over 2 channels; expected [N, H, W, 2] with H and W at least 3, got [1, 2, 4, 2]',
    ],
  ])('names %s', (_, shape, text) => {
    tf.tidy(() => {
      const weights = { A: tf.zeros([3, 3, 2, 4, 5]), B: tf.zeros([3, 3, 2, 5]), b: tf.zeros([3, 3, 2, 4]) };
      expect(() => dauConv(tf.zeros(shape as never) as tf.Tensor4D, weights)).toThrow(text);
    });
  });

  it.each(cases.flatMap((c) => (['sq', 'l2'] as const).map((norm) => [norm, c] as const)))(
    'gives the same numbers in both forms (%s %j)',
    (norm, c) => {
      tf.tidy(() => {
        const { x, weights } = problem(c, 1, norm);
        const [lowRank, explicit] = forms.map((form) => dauConv(x, weights, { ...geometryOf(c), norm, form })) as [
          tf.Tensor4D,
          tf.Tensor4D,
        ];
        expectClose(lowRank, explicit, formTolerance);
      });
    },
  );

  it.each<[object, string]>([
    [{ stride: 0 }, 'dauConv: stride: not a valid number; expected an integer from 1 to 2³¹ − 1, got 0'],
    [{ stride: 1.5 }, 'dauConv: stride: not a valid number; expected an integer from 1 to 2³¹ − 1, got 1.5'],
    [{ padding: -1 }, 'dauConv: padding: not a valid number; expected an integer of at least 0, got -1'],
    [{ eps: Number.NaN }, 'dauConv: eps: not a guard that DAUs can take in float32; expected a number from 1e-24 to 1, got NaN'],
    [{ norm: 'spectral' }, 'dauConv: norm: no such name; expected sq or l2, got "spectral". The bounds of efficient units'],
    [{ form: 'lowrank' }, 'dauConv: form: no such name; expected auto or low-rank or explicit, got "lowrank". Did you mean "low-rank"?'],
    [
      { padding: 4 },
      'dauConv: padding: not a valid number; expected at most 3, the width of the kernel: further out patches have zeros alone, got 4',
    ],
    [
      { strides: 2 },
      'dauConv: options: unknown option "strides"; expected one of stride, padding, norm, eps, form, unitsAtOnce. Did you mean "stride"?',
    ],
  ])('names the option that is none: %j', (options, text) => {
    tf.tidy(() => {
      const weights = { A: tf.zeros([3, 3, 2, 4, 5]), B: tf.zeros([3, 3, 2, 5]), b: tf.zeros([3, 3, 2, 4]) };
      expect(() => dauConv(tf.zeros([1, 4, 4, 2]), weights, options)).toThrow(text);
    });
  });

  it('refuses a gradient around its gradient, which would take what it found for constant', () => {
    tf.tidy(() => {
      const { x, weights } = problem(cases[1] as Case, 1, 'sq');
      const inner = (t: tf.Tensor): tf.Tensor => tf.grad((u: tf.Tensor) => tf.sum(tf.square(dauConv(u as tf.Tensor4D, weights))))(t);
      expect(() => tf.grad((t: tf.Tensor) => tf.sum(tf.square(inner(t))))(x)).toThrow(
        'dauConv: its gradient has no gradient of its own. Use dauMap(x, x, weights)',
      );
    });
  });

  it('names what is no tensor, or an empty one', () => {
    tf.tidy(() => {
      const weights = { A: tf.zeros([3, 3, 2, 4, 5]), B: tf.zeros([3, 3, 2, 5]), b: tf.zeros([3, 3, 2, 4]) };
      const x = tf.zeros<tf.Rank.R4>([1, 4, 4, 2]);
      expect(() => dauConv(x, { ...weights, b: undefined as never })).toThrow(
        'dauConv: weights.b: not a tensor; expected float32 [k, k, C, n], got nothing',
      );
      expect(() => dauConv([[1]] as never, weights)).toThrow('dauConv: x: not a tensor; expected float32 [N, H, W, 2], got an array');
      const empty = { ...weights, A: tf.zeros([3, 3, 2, 0, 5]), b: tf.zeros([3, 3, 2, 0]) };
      expect(() => dauConv(x, empty)).toThrow('expected sizes of at least 1, got [3, 3, 2, 0, 5]');
    });
  });

  it('names the weight that does not fit the others', () => {
    tf.tidy(() => {
      const weights = { A: tf.zeros([3, 3, 2, 4, 5]), B: tf.zeros([3, 3, 2, 4]), b: tf.zeros([3, 3, 2, 4]) };
      expect(() => dauConv(tf.zeros([1, 4, 4, 2]), weights)).toThrow(
        'dauConv: weights.B: the weights do not fit together: A [k, k, C, n, r], B [k, k, C, r], b [k, k, C, n]; expected [3, 3, 2, 5], got [3, 3, 2, 4]',
      );
    });
  });
});
