/** core's `linearMap` of a CoDA network, its penalty and its alignment, against full matrices in float64. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  gradientsAtTaps,
  inferenceContext,
  linearMap,
  linearMapAt,
  linearMapPenalty,
  recordTaps,
  trainingContext,
  withDynamicWeightsHeld,
  type NamedTensors,
} from '@coda-nets/core';
import { expectClose, expectOnlyResult, finiteDifference, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { configs, images, problem, slowMaps } from './linear-map-problem.ts';
import { between, times, transposed } from './slow-linear-map.ts';

/** Two layers of float32 sums against float64, relative to the largest. */
const valueTolerance = { rtol: 1e-5, relativeTo: 'largest' } as const;
/** Float32 gradients of a gradient's size, through two layers that feed each other's weights. */
const gradientTolerance = { rtol: 1e-4, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

/** Each image's part of `values`, `m` of them in a row, through `fn`. */
function each(values: ArrayLike<number>, m: number, fn: (image: number, part: Float64Array) => Float64Array): number[] {
  const all = Float64Array.from(values);
  const length = all.length / (images * m);
  return Array.from({ length: images * m }, (_, i) => fn(Math.floor(i / m), all.slice(i * length, (i + 1) * length))).flatMap((part) => [
    ...part,
  ]);
}

describe.each(Object.entries(configs))('the linear map of a CoDA network (%s)', (_, config) => {
  const depth = config.layers.length;
  const spans = Array.from({ length: depth + 1 }, (_, from) => from).flatMap((from) =>
    Array.from({ length: depth + 1 - from }, (_, i) => [from, from + 1 + i] as const),
  );
  const tapName = (l: number): string => (l === 0 ? 'input' : `layers.${l - 1}`);

  it.each(spans)('from tap %i to %i (the last is the logits) is the product of the layers’ matrices, both ways', (from, to) => {
    tf.tidy(() => {
      const { network, weights, x, slow } = problem(config);
      const options = { from: tapName(from), ...(to > depth ? {} : { to: tapName(to) }) };
      const map = expectOnlyResult(() => linearMap(network, weights, x, options));
      expect([map.from, map.to]).toEqual([options.from, options.to]);
      const matrices = slow.map((maps) => between(maps, from, to));
      const input = map.activations[options.from] as tf.Tensor4D;
      const output = to > depth ? tf.sub(map.logits, network.logitBias) : (map.activations[tapName(to)] as tf.Tensor);
      // W x is the network
      expectClose(map.apply(input), output, valueTolerance);
      expectClose(map.logits, network.forward(weights, x, inferenceContext).logits, { atol: 0 });
      for (const m of [1, 2]) {
        const v = randomTensor<tf.Rank.R4>([images * m, ...(input.shape.slice(1) as [number, number, number])], 11);
        const y = randomTensor([images * m, ...output.shape.slice(1)] as never, 12);
        const [Wv, Wty] = [expectOnlyResult(() => map.apply(v)), expectOnlyResult(() => map.applyTransposed(y))];
        expectClose(
          Wv,
          each(v.dataSync(), m, (i, part) => times(matrices[i] as never, part)),
          valueTolerance,
        );
        expectClose(
          Wty,
          each(y.dataSync(), m, (i, part) => times(transposed(matrices[i] as never), part)),
          valueTolerance,
        );
        // <y, W v> = <Wᵀ y, v>
        const [left, right] = [tf.sum(tf.mul(y, Wv)), tf.sum(tf.mul(Wty, v))];
        expectClose(left, right, { rtol: 1e-4 });
      }
    });
  });

  it('has rows that sum to z − b₀ with the activations, at every tap, and are what a held backward pass gives', () => {
    tf.tidy(() => {
      const { network, weights, x, slow } = problem(config);
      const classes = tf.tensor2d(
        [
          [1, 0],
          [0, 1],
        ],
        [2, 2],
        'int32',
      );
      const { gradients } = withDynamicWeightsHeld(() =>
        gradientsAtTaps(
          (context) => {
            const { logits } = network.forward(weights, x, context);
            return tf.sum(tf.mul(logits, tf.oneHot(tf.tensor1d([1, 0], 'int32'), network.classes)));
          },
          network.taps.map(({ name }) => name),
        ),
      );
      for (const [l, { name }] of network.taps.entries()) {
        const map = linearMap(network, weights, x, { from: name });
        const rows = map.rows(classes);
        const a = map.activations[name] as tf.Tensor;
        expect(rows.shape).toEqual([2, 2, ...a.shape.slice(1)]);
        const evidence = tf.sum(tf.mul(rows, tf.expandDims(a, 1)), [2, 3, 4]);
        const z = tf.sub(map.logits, network.logitBias).arraySync() as number[][];
        expectClose(
          evidence,
          [
            [z[0]?.[1], z[0]?.[0]],
            [z[1]?.[0], z[1]?.[1]],
          ] as number[][],
          valueTolerance,
        );
        expectClose(tf.squeeze(tf.slice(rows, [0, 0, 0, 0, 0], [-1, 1, -1, -1, -1]), [1]), gradients[name] as tf.Tensor, valueTolerance);
        const matrix = slow.map((maps) => between(maps, l));
        const expected = [
          [1, 0],
          [0, 1],
        ].flatMap((cs, i) =>
          cs.flatMap((c) => {
            const { columns, data } = matrix[i] as { columns: number; data: Float64Array };
            return Array.from(data.subarray(c * columns, (c + 1) * columns));
          }),
        );
        expectClose(rows, expected, valueTolerance);
      }
    });
  });

  it('has a penalty whose gradient by every weight is that of the matrices, through all dynamic weights', () => {
    tf.tidy(() => {
      const { network, weights, x } = problem(config);
      const names = Object.keys(weights);
      const classes = [
        [1, 0],
        [0, 1],
      ];
      const pixels = Float64Array.from(x.dataSync());
      const flat = Object.fromEntries(names.map((name) => [name, Float64Array.from((weights[name] as tf.Tensor).dataSync())]));
      const slowPenalty = (values: Record<string, Float64Array>): number => {
        const sizes = classes.flatMap((cs, i) => {
          const { columns, data } = between(slowMaps(network, values, pixels, i), 0);
          return cs.map((c) => data.slice(c * columns, (c + 1) * columns).reduce((sum, w) => sum + Math.abs(w), 0) / columns);
        });
        return sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
      };
      const loss = (...values: tf.Tensor[]): tf.Scalar => {
        const named: NamedTensors = Object.fromEntries(names.map((name, i) => [name, values[i] as tf.Tensor]));
        const { context, activations } = recordTaps(trainingContext);
        network.forward(named, x, context);
        return linearMapPenalty(linearMapAt(network, named, activations), tf.tensor2d(classes, [2, 2], 'int32'));
      };
      const { value, grads } = expectOnlyResult(() => tf.valueAndGrads(loss as never)(Object.values(weights)));
      expectClose(value, slowPenalty(flat), valueTolerance);
      for (const [i, name] of names.entries()) {
        const expected = finiteDifference((w: Float64Array) => slowPenalty({ ...flat, [name]: w }), flat[name] as Float64Array, 1e-6);
        expectClose(grads[i] as tf.Tensor, expected, gradientTolerance);
      }
    });
  });

  it('has an alignment by layer: out = ‖w‖ · cos · ‖patch‖', () => {
    tf.tidy(() => {
      const { network, weights, x } = problem(config);
      const { context, activations } = recordTaps(inferenceContext);
      network.forward(weights, x, context);
      const alignment = network.dynamicLinear?.alignment(weights, activations) ?? {};
      expect(Object.keys(alignment)).toEqual(config.layers.map((_, i) => `layers.${i}`));
      for (const [i, { kernel, stride = 1, padding = Math.floor(kernel / 2) }] of config.layers.entries()) {
        const a = activations[tapName(i)] as tf.Tensor4D;
        const squares = tf.pad(tf.square(a), [
          [0, 0],
          [padding, padding],
          [padding, padding],
          [0, 0],
        ]);
        const patches = tf.sqrt(tf.conv2d(squares, tf.ones([kernel, kernel, a.shape[3], 1]) as tf.Tensor4D, stride, 'valid'));
        const { norm, cosine } = alignment[`layers.${i}`] as { norm: tf.Tensor; cosine: tf.Tensor };
        expectClose(tf.mul(tf.mul(norm, cosine), patches), activations[tapName(i + 1)] as tf.Tensor, valueTolerance);
      }
    });
  });
});
