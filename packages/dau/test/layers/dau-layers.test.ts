import * as tf from '@tensorflow/tfjs-core';
import { layers, sequential, type Shape } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { initWeights, inferenceContext, Random } from '@coda-nets/core';
import { expectClose, expectNoLeak, expectOnlyResult, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { binaryCrossEntropy, codaLayers, codaNetwork, dauConv, edauBounds, type DauWeights } from '../../src/index.ts';
import { dauConv2d, dauDense, rgb6, sumPoolLogits, type Padding } from '../../src/layers/index.ts';
import { slowDau } from '../slow-dau.ts';
import { slowEdau } from '../slow-edau.ts';
import { describeOnBackends } from '../backends.ts';

/** float32 sums of up to 50·3 products against float64, relative to the largest, since the sums cancel. */
const valueTolerance = { rtol: 3e-6, relativeTo: 'largest' } as const;
/** The same ops on the same backend, recorded in another order. */
const sameOps = { rtol: 1e-6, relativeTo: 'largest' } as const;

type Layer = layers.Layer;

function doubles(layer: Layer): Record<'A' | 'B' | 'b', Float64Array> {
  const [A, B, b] = layer.getWeights().map((weight) => Float64Array.from(weight.dataSync()));
  return { A, B, b } as Record<'A' | 'B' | 'b', Float64Array>;
}

describeOnBackends('dauConv2d', () => {
  it.each<[Padding, number, number, readonly [number, number]]>([
    ['valid', 3, 1, [6, 5]],
    ['same', 3, 1, [6, 5]],
    // More zeros after than before, and in one direction alone.
    ['same', 3, 2, [6, 5]],
    ['same', 4, 1, [5, 7]],
    ['same', 1, 3, [5, 6]],
    [2, 5, 3, [7, 4]],
  ])('is the unit of the paper (padding %s, kernel %i, stride %i, map %o)', (padding, k, stride, [height, width]) => {
    const layer = dauConv2d({ filters: 3, kernelSize: k, strides: stride, padding, rank: 2, norm: 'l2', eps: 0.1, seed: 3 });
    tf.tidy(() => {
      const x = randomTensor<tf.Rank.R4>([2, height, width, 2], 1);
      const y = layer.apply(x) as tf.Tensor;
      // Where TensorFlow.js itself puts its zeros.
      const { padInfo } = tf.backend_util.computeConv2DInfo(x.shape, [k, k, 2, 3], stride, 1, padding);
      const padded = tf.pad(x, [
        [0, 0],
        [padInfo.top, padInfo.bottom],
        [padInfo.left, padInfo.right],
        [0, 0],
      ]);
      const expected = slowDau({
        ...doubles(layer),
        x: Float64Array.from(padded.dataSync()),
        shape: padded.shape,
        k,
        n: 3,
        r: 2,
        stride,
        padding: 0,
        norm: 'l2',
        eps: 0.1,
      });
      expectClose(y, expected, valueTolerance);
      expect(layer.computeOutputShape([2, height, width, 2])).toEqual(y.shape);
    });
    layer.dispose();
  });

  it.each(edauBounds)('is the efficient unit, without b, where its norm is one (%s)', (norm) => {
    const options = { rank: 2, norm, eps: 0.1, seed: 3 } as const;
    const [conv, dense] = [
      dauConv2d({ filters: 3, kernelSize: 3, strides: 2, padding: 1, ...options }),
      dauDense({ units: 3, ...options }),
    ];
    tf.tidy(() => {
      const x = randomTensor<tf.Rank.R4>([2, 6, 5, 2], 1);
      const xs = Float64Array.from(x.dataSync());
      const y = conv.apply(x) as tf.Tensor;
      const z = dense.apply(x) as tf.Tensor;
      for (const layer of [conv, dense]) expect(layer.getWeights()).toHaveLength(2);
      const shared = { n: 3, r: 2, bound: norm, eps: 0.1, x: xs } as const;
      expectClose(y, slowEdau({ ...shared, ...doubles(conv), shape: x.shape, k: 3, stride: 2, padding: 1 }), valueTolerance);
      expectClose(z, slowEdau({ ...shared, ...doubles(dense), shape: [60, 1, 1, 2], k: 1, stride: 1, padding: 0 }), valueTolerance);
    });
    conv.dispose();
    dense.dispose();
  });

  it('has the output and the weight gradients of dauConv', () => {
    const layer = dauConv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 1, rank: 3 });
    tf.tidy(() => {
      const x = randomTensor<tf.Rank.R4>([2, 7, 6, 5], 1);
      const y = layer.apply(x) as tf.Tensor4D;
      const direction = randomTensor<tf.Rank.R4>(y.shape, 2);
      const options = { stride: 2, padding: 1 };
      const [A, B, b] = layer.getWeights() as [tf.Tensor, tf.Tensor, tf.Tensor];
      expectClose(y, dauConv(x, { A, B, b }, options), sameOps);
      const variables = layer.trainableWeights.map((weight) => weight.read() as tf.Variable);
      const { grads } = tf.variableGrads(() => tf.sum(tf.mul(layer.apply(x) as tf.Tensor, direction)), variables);
      const expected = tf.grads((A: tf.Tensor, B: tf.Tensor, b: tf.Tensor) =>
        tf.sum(tf.mul(dauConv(x, { A, B, b } satisfies DauWeights, options), direction)),
      )([A, B, b]);
      for (const [i, { name }] of variables.entries()) expectClose(grads[name] as tf.Tensor, expected[i] as tf.Tensor, sameOps);
    });
    layer.dispose();
  });
});

describeOnBackends('dauDense', () => {
  it.each(['sq', 'l2'] as const)('is the unit of the paper over the last axis, whatever stands before it (%s)', (norm) => {
    for (const shape of [
      [4, 6],
      [2, 3, 6],
      [2, 2, 2, 6],
    ]) {
      const layer = dauDense({ units: 3, rank: 2, norm, eps: 0.1, seed: 5 });
      tf.tidy(() => {
        const x = randomTensor(shape as never, 1);
        const y = layer.apply(x) as tf.Tensor;
        const expected = slowDau({
          ...doubles(layer),
          x: Float64Array.from(x.dataSync()),
          shape: [x.size / 6, 1, 1, 6],
          k: 1,
          n: 3,
          r: 2,
          stride: 1,
          padding: 0,
          norm,
          eps: 0.1,
        });
        expectClose(y, expected, valueTolerance);
        expect(y.shape).toEqual([...shape.slice(0, -1), 3]);
      });
      layer.dispose();
    }
  });
});

describeOnBackends('a CoDA network in tf.sequential', () => {
  it('has the logits and the loss gradients of codaNetwork with the same weights', () => {
    const network = codaNetwork({
      kind: 'coda',
      inputShape: [9, 7, 3],
      layers: [
        { out: 4, kernel: 3, rank: 3 },
        { out: 2, kernel: 3, stride: 2, rank: 4 },
      ],
      temperature: 10,
      classes: 2,
    });
    const model = sequential({
      layers: [
        rgb6({ inputShape: [9, 7, 3] }),
        dauConv2d({ filters: 4, kernelSize: 3, padding: 1, rank: 3 }),
        dauConv2d({ filters: 2, kernelSize: 3, strides: 2, padding: 1, rank: 4 }),
        sumPoolLogits({ temperature: 10 }),
      ],
    });
    tf.tidy(() => {
      const weights = Object.fromEntries(
        Object.entries(initWeights(network, Random.seeded(7))).map(([name, { data, shape }]) => [
          name,
          tf.tensor(data as Float32Array, [...shape]),
        ]),
      );
      const names = [0, 1].flatMap((i) => ['A', 'B', 'b'].map((weight) => `layers.${i}.${weight}`));
      model.setWeights(names.map((name) => weights[name] as tf.Tensor));
      const images = randomTensor<tf.Rank.R4>([3, 9, 7, 3], 1, { min: 0 });
      const targets = tf.tensor2d([
        [1, 0],
        [0, 1],
        [1, 0],
      ]);
      expectClose(model.predict(images) as tf.Tensor, network.forward(weights, images, inferenceContext).logits, sameOps);
      // The loss of tf that is the network's own.
      const loss = (): tf.Scalar => tf.losses.sigmoidCrossEntropy(targets, model.apply(images, { training: true }) as tf.Tensor);
      const { value, grads } = tf.variableGrads(loss);
      expectClose(value, binaryCrossEntropy(model.predict(images) as tf.Tensor2D, targets), sameOps);
      const expected = tf.grads((...tensors: tf.Tensor[]) => {
        const named = Object.fromEntries(names.map((name, i) => [name, tensors[i] as tf.Tensor]));
        return network.loss(network.forward(named, images, inferenceContext).logits, targets);
      })(names.map((name) => weights[name] as tf.Tensor));
      const variables = model.trainableWeights.map((weight) => grads[weight.name] as tf.Tensor);
      for (const [i, gradient] of variables.entries()) expectClose(gradient, expected[i] as tf.Tensor, sameOps);
    });
    model.dispose();
  });
});

describe('layers of tf.layers', () => {
  beforeAll(() => useBackend('cpu'));

  it.each<{ shape: Shape }>([
    { shape: [null, 9, 7, 6] },
    { shape: [4, 8, 8, 6] },
    { shape: [null, null, null, 6] },
    { shape: [null, null, 5, 6] },
  ])('have the output shape of conv2d for $shape', ({ shape }) => {
    for (const [kernelSize, strides] of [
      [1, 1],
      [3, 1],
      [3, 2],
      [4, 3],
      [5, 2],
    ] as const) {
      for (const padding of ['valid', 'same'] as const) {
        const options = { filters: 2, kernelSize, strides, padding };
        expect(dauConv2d({ ...options, rank: 1 }).computeOutputShape(shape)).toEqual(layers.conv2d(options).computeOutputShape(shape));
      }
    }
    expect(rgb6().computeOutputShape([...shape.slice(0, 3), 3])).toEqual(shape);
    expect(sumPoolLogits({ temperature: 1 }).computeOutputShape(shape)).toEqual([shape[0], 6]);
    expect(dauDense({ units: 2, rank: 1 }).computeOutputShape(shape)).toEqual([...shape.slice(0, 3), 2]);
  });

  it('take maps of any size where the input leaves it open', () => {
    const model = sequential({
      layers: [dauConv2d({ filters: 2, kernelSize: 3, rank: 2, inputShape: [null, null, 3] }), sumPoolLogits({ temperature: 2 })],
    });
    tf.tidy(() => {
      for (const size of [3, 5, 8]) {
        const x = tf.ones([2, size, size + 1, 3]);
        expect((expectOnlyResult(() => model.predict(x)) as tf.Tensor).shape).toEqual([2, 2]);
      }
    });
    model.dispose();
  });

  it('begin in U(±1/√fan_in), the same from the same seed or name, and different ones from different', () => {
    const first = (options: { readonly seed?: number; readonly name?: string }): Record<'A' | 'B' | 'b', Float64Array> => {
      const layer = dauConv2d({ filters: 16, kernelSize: 3, rank: 25, ...options });
      tf.dispose(layer.apply(tf.ones([1, 3, 3, 6])) as tf.Tensor);
      const values = doubles(layer);
      layer.dispose();
      return values;
    };
    const { A, B, b } = first({ seed: 1 });
    for (const [values, bound] of [
      [A, 1 / 5],
      [B, 1 / Math.sqrt(54)],
      [b, 1 / 5],
    ] as const) {
      const extreme = values.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      expect(extreme).toBeLessThanOrEqual(Math.fround(bound));
      expect(extreme).toBeGreaterThan(0.97 * bound);
      expect(Math.abs(values.reduce((sum, x) => sum + x, 0) / values.length)).toBeLessThan(0.1 * bound);
    }
    // The numbers of codaLayers, from the stream of each weight's name.
    const { weights } = codaLayers({ inputChannels: 6, layers: [{ out: 16, kernel: 3, rank: 25 }] });
    for (const [name, values] of Object.entries({ A, B, b })) {
      expect(values).toEqual(Float64Array.from(weights[`layers.0.${name}`]?.init(Random.seeded(1).split(name)).data as Float32Array));
    }
    expect(first({ seed: 1, name: 'other' })).toEqual({ A, B, b });
    expect(first({ seed: 2 })).not.toEqual({ A, B, b });
    expect(first({ name: 'stem' })).toEqual(first({ name: 'stem' }));
    expect(first({ name: 'stem' })).not.toEqual(first({ name: 'head' }));
  });

  it('show themselves in summary, with their parameters', () => {
    const model = sequential({
      layers: [
        rgb6({ inputShape: [8, 8, 3], name: 'rgb' }),
        dauConv2d({ filters: 4, kernelSize: 3, rank: 5, name: 'first' }),
        dauDense({ units: 3, rank: 2, name: 'second' }),
        sumPoolLogits({ temperature: 9, name: 'logits' }),
      ],
    });
    const lines: string[] = [];
    model.summary(undefined, undefined, (line: string) => lines.push(line.replaceAll(/ +/g, ' ').trim()));
    const [first, second] = [54 * 5 + 54 * 4 * 5 + 54 * 4, 4 * 2 + 4 * 3 * 2 + 4 * 3];
    expect(lines).toContain(`first (DauConv2d) [[null,8,8,6]] [null,6,6,4] ${first}`);
    expect(lines).toContain(`second (DauDense) [[null,6,6,4]] [null,6,6,3] ${second}`);
    expect(lines).toContain(`Total params: ${first + second}`);
    model.dispose();
  });

  it('are freed by dispose, and a frozen one is not trained', () => {
    expectNoLeak(() => {
      const model = sequential({
        layers: [
          dauConv2d({ filters: 2, kernelSize: 1, rank: 2, inputShape: [2, 2, 3], trainable: false }),
          dauConv2d({ filters: 2, kernelSize: 1, rank: 2 }),
        ],
      });
      expect([model.trainableWeights.length, model.nonTrainableWeights.length]).toEqual([3, 3]);
      model.dispose();
    });
  });

  it.each<[string, () => unknown, string]>([
    [
      'a misspelt option',
      () => dauConv2d({ filters: 2, kernalSize: 3, rank: 2, name: 'stem' } as never),
      'DauConv2d "stem": kernalSize: unknown key; expected one of filters, kernelSize, strides, padding, rank, norm, eps, seed, name, inputShape, batchInputShape, batchSize, dtype, inputDType, trainable, weights. Did you mean "kernelSize"?',
    ],
    ['a missing option', () => dauConv2d({ filters: 2, kernelSize: 3, name: 'stem' } as never), 'DauConv2d "stem": rank: missing'],
    ['a rank of 0', () => dauDense({ units: 2, rank: 0, name: 'head' }), 'DauDense "head": rank: invalid value; expected >=1, got 0'],
    [
      'an unknown padding',
      () => dauConv2d({ filters: 2, kernelSize: 3, rank: 2, padding: 'full' as never, name: 'stem' }),
      'DauConv2d "stem": padding: not a valid value; expected ("valid" | "same" | number), got "full"',
    ],
    [
      'a kernel that is not square',
      () => dauConv2d({ filters: 2, kernelSize: [3, 5], rank: 2, name: 'stem' }),
      'DauConv2d "stem": kernelSize: not square; got [3,5]',
    ],
    [
      'an unknown norm',
      () => dauDense({ units: 2, rank: 2, norm: 'squash' as never, name: 'head' }),
      'DauDense "head": norm: not a valid value; expected ("sq" | "l2" | "frobenius" | "spectral" | "product"), got "squash"',
    ],
    [
      'a temperature of 0',
      () => sumPoolLogits({ temperature: 0, name: 'logits' }),
      'SumPoolLogits "logits": temperature: invalid value; expected >0, got 0',
    ],
    [
      'a misspelt option of the encoding',
      () => rgb6({ inputShpe: [8, 8, 3], name: 'rgb' } as never),
      'Rgb6 "rgb": inputShpe: unknown key; expected one of name, inputShape, batchInputShape, batchSize, dtype, inputDType, trainable, weights. Did you mean "inputShape"?',
    ],
    [
      'an input that is no map',
      () => dauConv2d({ filters: 2, kernelSize: 3, rank: 2, name: 'stem', inputShape: [8] }).apply(tf.ones([2, 8])),
      'DauConv2d "stem": input: not an input of this layer; expected [N, H, W, C], got [2, 8]',
    ],
    [
      'a map smaller than the kernel',
      () => dauConv2d({ filters: 2, kernelSize: 5, rank: 2, padding: 1, name: 'stem' }).computeOutputShape([null, 8, 2, 3]),
      'DauConv2d "stem": input: a 5×5 kernel with padding 1 does not fit; expected height and width at least 3, got [null, 8, 2, 3]',
    ],
    [
      'channels that are not known',
      () => dauConv2d({ filters: 2, kernelSize: 3, rank: 2, name: 'stem' }).build([null, 8, 8, null]),
      'DauConv2d "stem": input: not an input of this layer; expected [N, H, W, C], got [null, 8, 8, null]',
    ],
    [
      'other channels than at first',
      () => {
        const layer = dauConv2d({ filters: 2, kernelSize: 3, rank: 2, name: 'stem' });
        layer.build([null, 8, 8, 3]);
        return layer.apply(tf.ones([2, 8, 8, 4]));
      },
      'DauConv2d "stem": input: not an input of this layer; expected [N, H, W, 3], got [2, 8, 8, 4]',
    ],
    [
      'another length than at first',
      () => {
        const layer = dauDense({ units: 2, rank: 2, name: 'head' });
        layer.build([null, 3]);
        return layer.apply(tf.ones([2, 4]));
      },
      'DauDense "head": input: not an input of this layer; expected [N, …, 3], got [2, 4]',
    ],
    [
      'images that are not RGB',
      () => rgb6({ name: 'rgb' }).apply(tf.ones([1, 4, 4, 1])),
      'Rgb6 "rgb": input: not an input of this layer; expected [N, H, W, 3], got [1, 4, 4, 1]',
    ],
    [
      'two tensors',
      () => dauDense({ units: 2, rank: 2, name: 'head' }).apply([tf.ones([2, 4]), tf.ones([2, 4])]),
      'DauDense "head": input: the layer takes one tensor; expected 1, got 2',
    ],
  ])('answer %s with one clear error', (_, wrong, text) => {
    let message = 'nothing was thrown';
    try {
      tf.tidy(() => void wrong());
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toBe(text);
  });
});
