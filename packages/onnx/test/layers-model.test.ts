/** Models of tf.layers as graphs: names, open sizes, and what is refused. Their numbers are tested in packages/engine. */
import { printGraph, trace } from '@coda-nets/onnx';
import { layersModelFunction } from '@coda-nets/onnx/layers-model';
import { expectNoLeak, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { input, layers, model, sequential, type LayersModel } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  await useBackend('cpu');
  // its search for leaks misses data that moves to another backend inside of an operation with a gradient of its own
  tf.env().set('IS_TEST', false);
});

const text = (m: LayersModel, options = {}): string => {
  const { fn, signature, names } = layersModelFunction(m, options);
  return printGraph(trace(fn, signature, { names }));
};

describe('layersModelFunction', () => {
  it('names inputs, outputs and weights as the model does, zeros and ones among them', () => {
    const net = sequential({
      layers: [layers.dense({ units: 2, inputShape: [3], activation: 'relu', name: 'hidden' }), layers.dense({ units: 1, name: 'score' })],
    });
    const lines = text(net).split('\n');
    expect(lines[0]).toBe('graph(hidden_input: float32[batch, 3])');
    expect(lines.filter((line) => line.startsWith('  constant') && line.includes('/'))).toEqual([
      '  constant hidden/kernel: float32[3, 2]',
      '  constant hidden/bias: float32[2]',
      '  constant score/kernel: float32[2, 1]',
      '  constant score/bias: float32[1]',
    ]);
    expect(lines.at(-1)).toBe('  return score');
  });

  it('takes several inputs and gives several outputs, twice from one layer', () => {
    const [a, b] = [input({ shape: [4], name: 'a' }), input({ shape: [4], name: 'b', dtype: 'int32' })];
    const dense = layers.dense({ units: 2, name: 'twice' });
    const embedded = layers.flatten().apply(layers.embedding({ inputDim: 5, outputDim: 1 }).apply(b)) as typeof a;
    const net = model({ inputs: [a, b], outputs: [dense.apply(a), dense.apply(embedded)] as never });
    const graph = text(net);
    expect(graph).toContain('graph(a: float32[batch, 4], b: int32[batch, 4])');
    expect(graph).toContain('return twice, twice:1');
  });

  it('leaves dropout out and takes the statistics of batch norm', () => {
    const net = sequential({ layers: [layers.dropout({ rate: 0.5, inputShape: [3] }), layers.batchNormalization({ name: 'norm' })] });
    expect(text(net)).toContain('constant norm/moving_mean: float32[3]');
  });

  it('leaves height and width open where the model does, with padding that fits any', () => {
    const net = sequential({
      layers: [
        layers.conv2d({ filters: 2, kernelSize: 3, strides: 2, padding: 'same', inputShape: [null, null, 3], name: 'down' }),
        layers.upSampling2d({ size: [2, 2], name: 'up' }),
      ],
    });
    const graph = text(net);
    expect(graph).toContain('graph(down_input: float32[batch, height, width, 3])');
    expect(graph).toContain('auto_pad="SAME_UPPER"');
    expect(graph).toMatch(/Conv_0: float32\[batch, 2, ceil\(height\/2\), ceil\(width\/2\)\]/);
  });

  it('takes sizes that are multiples, or fixed', () => {
    const net = sequential({
      layers: [layers.conv2d({ filters: 2, kernelSize: 3, strides: 2, padding: 'same', inputShape: [null, null, 3], name: 'c' })],
    });
    const graph = text(net, { shapes: { c_input: ['batch', '2*height', 8, 3] } });
    expect(graph).toContain('c_input: float32[batch, 2*height, 8, 3]');
    expect(graph).toContain('pads=[0, 0, 1, 1]');
  });

  it('traces twice to the same text and leaves no tensors', () => {
    const net = sequential({ layers: [layers.dense({ units: 2, inputShape: [3] })] });
    expectNoLeak(() => {
      expect(text(net)).toBe(text(net));
    });
  });

  it.each<[string, () => LayersModel, object, string]>([
    [
      'a model that is not built',
      () => sequential({ name: 'unbuilt', layers: [] }),
      {},
      'model "unbuilt": the model has no inputs yet. Give its first layer an inputShape, or call build.',
    ],
    [
      'a layer that keeps a state',
      () =>
        sequential({
          name: 'state',
          layers: [layers.simpleRNN({ units: 2, stateful: true, recurrentInitializer: 'zeros', batchInputShape: [1, 3, 2] })],
        }),
      {},
      'model "state": a layer keeps a state between calls, which a graph does not; expected stateful: false',
    ],
    [
      'shapes of inputs that it does not have',
      () =>
        sequential({ layers: [layers.globalAveragePooling2d({ inputShape: [null, null, 2] }), layers.reshape({ targetShape: [2, 1] })] }),
      { shapes: { nothing: [1] } },
      ': shapes: not an input of the model: nothing; expected global_average_pooling2d',
    ],
    [
      'a shape that the model does not take',
      () => sequential({ name: 'fixed', layers: [layers.dense({ units: 1, inputShape: [3], name: 'd' })] }),
      { shapes: { d_input: ['batch', 4] } },
      'model "fixed": shapes.d_input: not a shape that the model takes; expected [any, 3], got [batch, 4]',
    ],
  ])('refuses %s', (_, make, options, message) => {
    expect(() => layersModelFunction(make(), options)).toThrow(message);
  });

  it('refuses to leave open what the model computes with', () => {
    class PerPixel extends layers.Layer {
      static readonly className = 'PerPixel';
      override call(x: tf.Tensor | tf.Tensor[]): tf.Tensor {
        const image = (Array.isArray(x) ? x[0] : x) as tf.Tensor;
        return tf.div(image, (image.shape[1] as number) * (image.shape[2] as number));
      }
    }
    const net = sequential({ layers: [layers.zeroPadding2d({ inputShape: [null, null, 1] }), new PerPixel({})] });
    expect(() => text(net)).toThrow(
      'a size used as a number does not make a graph for any size. Sum instead of averaging, or fix the size.',
    );
  });
});
