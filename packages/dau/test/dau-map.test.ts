import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import { expectClose, expectOnlyResult, finiteDifference, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { dauAlignment, dauConv, dauMap, dauMapTransposed, defaultDauEpsilon, type DauNorm, type DauWeights } from '../src/index.ts';
import { slowUnits, type SlowDau } from './slow-dau.ts';
import { unitCases as cases, type UnitCase as Case } from './unit-cases.ts';
import { slowMatrix, times, transposed } from './slow-linear-map.ts';

/** float32 sums of up to 75·8 products against float64; relative to the largest, since the sums cancel. */
const valueTolerance = { rtol: 5e-6, relativeTo: 'largest' } as const;
/** The same with one more level of sums, through a square root and a quotient. */
const gradientTolerance = { rtol: 3e-5, relativeTo: 'largest' } as const;
/** Of numbers of at most 1: cosines and norms. */
const unitTolerance = { atol: 5e-6 } as const;

beforeAll(() => useBackend('cpu'));

const named = cases.flatMap((c) => (['sq', 'l2'] as const).map((norm) => [`${norm} ${JSON.stringify(c)}`, c, norm] as const));

interface Problem {
  readonly x: tf.Tensor4D;
  readonly weights: DauWeights;
  readonly options: { readonly stride: number; readonly padding: number; readonly norm: DauNorm };
  /** One for each image. */
  readonly slow: readonly SlowDau[];
}

function problem({ size, k, n, r, stride, padding }: Case, norm: DauNorm): Problem {
  const [images, height, width, C] = size;
  const x = randomTensor<tf.Rank.R4>([...size], 1);
  const weights = {
    A: randomTensor([k, k, C, n, r] as never, 101),
    B: randomTensor([k, k, C, r] as never, 201),
    b: randomTensor([k, k, C, n] as never, 301),
  };
  const values = (t: tf.Tensor): Float64Array => Float64Array.from(t.dataSync());
  const all = {
    A: values(weights.A),
    B: values(weights.B),
    b: values(weights.b),
    k,
    n,
    r,
    stride,
    padding,
    norm,
    eps: defaultDauEpsilon,
  };
  const length = height * width * C;
  const slow = Array.from({ length: images }, (_, i): SlowDau => {
    return { ...all, x: values(x).slice(i * length, (i + 1) * length), shape: [1, height, width, C] };
  });
  return { x, weights, options: { stride, padding, norm }, slow };
}

/** The images' parts of a flat array of `m` vectors an image. */
function parts(values: ArrayLike<number>, images: number, m: number): { image: number; vector: Float64Array }[] {
  const all = Float64Array.from(values);
  const length = all.length / (images * m);
  return Array.from({ length: images * m }, (_, i) => ({
    image: Math.floor(i / m),
    vector: all.slice(i * length, (i + 1) * length),
  }));
}

describe('dauMap and dauMapTransposed', () => {
  it.each(named)('are the matrix W(x) and its transpose (%s)', (_, c, norm) => {
    tf.tidy(() => {
      const { x, weights, options, slow } = problem(c, norm);
      const y = dauConv(x, weights, options);
      expectClose(dauMap(x, x, weights, options), y, valueTolerance);
      for (const m of [1, 3]) {
        const [images, ...input] = x.shape;
        const vectors = randomTensor<tf.Rank.R4>([images * m, ...input], 2);
        const cotangents = randomTensor<tf.Rank.R4>([images * m, ...(y.shape.slice(1) as [number, number, number])], 3);
        const matrices = slow.map(slowMatrix);
        const forward = parts(vectors.dataSync(), images, m).flatMap(({ image, vector }) => [...times(matrices[image] as never, vector)]);
        const back = parts(cotangents.dataSync(), images, m).flatMap(({ image, vector }) => [
          ...times(transposed(matrices[image] as never), vector),
        ]);
        const applied = expectOnlyResult(() => dauMap(x, vectors, weights, options));
        const appliedBack = expectOnlyResult(() => dauMapTransposed(x, cotangents, weights, options));
        expect(applied.shape).toEqual([images * m, ...y.shape.slice(1)]);
        expect(appliedBack.shape).toEqual(vectors.shape);
        expectClose(applied, forward, valueTolerance);
        expectClose(appliedBack, back, valueTolerance);
      }
    });
  });

  it.each(named)('transposed is the gradient of dauConv with its weights held (%s)', (_, c, norm) => {
    tf.tidy(() => {
      const { x, weights, options } = problem(c, norm);
      const y = randomTensor<tf.Rank.R4>(dauConv(x, weights, options).shape, 3);
      const held = withDynamicWeightsHeld(() => tf.grad((t: tf.Tensor) => dauConv(t as tf.Tensor4D, weights, options))(x, y));
      expectClose(dauMapTransposed(x, y, weights, options), held, gradientTolerance);
    });
  });

  it.each(named.filter(([, c]) => c.k < 5))('have the gradients of the loops (%s)', (_, c, norm) => {
    tf.tidy(() => {
      // one image, so that the loops are few
      const { x, weights, options, slow } = problem({ ...c, size: [1, ...(c.size.slice(1) as [number, number, number])] }, norm);
      const twin = slow[0] as SlowDau;
      const y = randomTensor<tf.Rank.R4>(dauConv(x, weights, options).shape, 3);
      const v = randomTensor<tf.Rank.R4>(x.shape, 2);
      const [yValues, vValues] = [Float64Array.from(y.dataSync()), Float64Array.from(v.dataSync())];
      // <y, W v> both ways round
      const forward = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Tensor =>
        tf.sum(tf.mul(y, dauMap(x as tf.Tensor4D, v, { A, B, b }, options)));
      const back = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Tensor =>
        tf.sum(tf.mul(v, dauMapTransposed(x as tf.Tensor4D, y, { A, B, b }, options)));
      const args = [x, weights.A, weights.B, weights.b];
      const both = [tf.grads(forward as never)(args), tf.grads(back as never)(args)];
      for (const [i, name] of (['x', 'A', 'B', 'b'] as const).entries()) {
        const loss = (value: Float64Array): number =>
          times(slowMatrix({ ...twin, [name]: value }), vValues).reduce((sum, out, j) => sum + out * (yValues[j] as number), 0);
        const expected = finiteDifference(loss, twin[name]);
        // over one number w = ±1 (L2) has gradient 0, left over when terms of size 10 cancel in float32
        for (const gradients of both) expectClose(gradients[i] as tf.Tensor, expected, { ...gradientTolerance, atol: 1e-5 });
      }
    });
  });

  it('leave one tensor each', () => {
    const [x, A, B, b, y] = [
      tf.ones([1, 3, 3, 2]),
      tf.ones([3, 3, 2, 2, 2]),
      tf.ones([3, 3, 2, 2]),
      tf.ones([3, 3, 2, 2]),
      tf.ones([2, 3, 3, 2]),
    ];
    const before = tf.memory().numTensors;
    const results = [dauMap, dauMapTransposed].map((f) => f(x as tf.Tensor4D, y as tf.Tensor4D, { A, B, b }, { padding: 1 }));
    expect(tf.memory().numTensors).toBe(before + 2);
    tf.dispose([x, A, B, b, y, results]);
  });

  it.each<[string, () => tf.Tensor, string]>([
    [
      'vectors of another size',
      () => dauMap(ones(2, 4, 4, 2), ones(2, 4, 5, 2), weightsOf()),
      'dauMap: vectors: not the same number of maps for each of the 2 images; expected [m·2, 4, 4, 2], got [2, 4, 5, 2]',
    ],
    [
      'vectors that do not share out',
      () => dauMap(ones(2, 4, 4, 2), ones(3, 4, 4, 2), weightsOf()),
      'dauMap: vectors: not the same number of maps for each of the 2 images; expected [m·2, 4, 4, 2], got [3, 4, 4, 2]',
    ],
    [
      'cotangents of another size',
      () => dauMapTransposed(ones(1, 4, 4, 2), ones(1, 4, 4, 4), weightsOf()),
      'dauMapTransposed: cotangents: not the same number of maps for each of the 1 images; expected [m·1, 2, 2, 4], got [1, 4, 4, 4]',
    ],
    [
      'another channel count',
      () => dauMap(ones(1, 4, 4, 3), ones(1, 4, 4, 3), weightsOf()),
      'dauMap: x: x does not fit a 3×3 kernel with padding 0 over 2 channels; expected [N, H, W, 2] with H and W at least 3, got [1, 4, 4, 3]',
    ],
    [
      'a norm that is none',
      () => dauMap(ones(1, 4, 4, 2), ones(1, 4, 4, 2), weightsOf(), { norm: 'bogus' as DauNorm }),
      'dauMap: norm: no such name; expected sq or l2, got "bogus"',
    ],
    [
      'weights that do not fit together',
      () => dauAlignment(ones(1, 4, 4, 2), { ...weightsOf(), b: tf.zeros([3, 3, 2, 5]) }).norm,
      'dauAlignment: weights.b: the weights do not fit together: A [k, k, C, n, r], B [k, k, C, r], b [k, k, C, n]; expected [3, 3, 2, 4], got [3, 3, 2, 5]',
    ],
  ])('name %s', (_, call, text) => {
    tf.tidy(() => {
      expect(call).toThrow(text);
    });
  });
});

describe('dauAlignment', () => {
  it.each(named)('is ‖w‖ and cos ∠(w, patch) of the explicit weights (%s)', (_, c, norm) => {
    tf.tidy(() => {
      const { x, weights, options, slow } = problem(c, norm);
      const { norm: norms, cosine } = expectOnlyResult(() => dauAlignment(x, weights, options));
      expect(cosine.shape).toEqual(dauConv(x, weights, options).shape);
      const length = (v: Float64Array): number => Math.hypot(...v);
      const units = slow.flatMap(slowUnits);
      expectClose(
        norms,
        units.map(({ w }) => length(w)),
        unitTolerance,
      );
      expectClose(
        cosine,
        units.map(({ w, patch, out }) => out / (length(w) * length(patch))),
        unitTolerance,
      );
    });
  });

  it('is 0 without an input, and 1 where the weight is the patch', () => {
    tf.tidy(() => {
      const x = tf.tensor4d([3, 0, 4, 0, 0, 0], [1, 1, 2, 3]);
      const weights = {
        A: tf.zeros([1, 1, 3, 1, 1]),
        B: tf.zeros([1, 1, 3, 1]),
        b: tf.tensor([30, 0, 40], [1, 1, 3, 1]),
      };
      const { norm, cosine } = dauAlignment(x, weights);
      expectClose(cosine, [1, 0], unitTolerance);
      expectClose(norm, [2500 / 2501, 2500 / 2501], unitTolerance);
    });
  });
});

function ones(...shape: [number, number, number, number]): tf.Tensor4D {
  return tf.ones(shape) as tf.Tensor4D;
}

function weightsOf(): DauWeights {
  return { A: tf.zeros([3, 3, 2, 4, 5]), B: tf.zeros([3, 3, 2, 5]), b: tf.zeros([3, 3, 2, 4]) };
}
