/** Channels in blocks: what is recorded for them computes what eager TensorFlow.js computes, gradients included, wherever an array enters or leaves them. */
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { printGraph, trace, type Graph } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectCompiledEqualsEager, specsOf, withGradient, type Case } from './equals-eager.ts';

/** As `TOLERANCE`, over sums of some thousand products, one after the other in float32 on both sides. */
const TOLERANCE = { rtol: 3e-5, atol: 1e-6, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

type Inputs = Record<string, tf.Tensor>;
const as4d = (t: tf.Tensor | undefined): tf.Tensor4D => t as tf.Tensor4D;

/** 16 channels are whole blocks on every machine, and 16 images too; 16·6·6 positions are enough to be worth it. */
const SHAPES = { x: [16, 6, 6, 16], w: [3, 3, 16, 16] };
const small = { from: -0.5, to: 0.5 };

const conv = (w: readonly number[], strides: number | [number, number], pad: 'same' | 'valid' | number, dilations = 1): Case => ({
  fn: (t) => tf.conv2d(as4d(t['x']), as4d(t['w']), strides, pad, 'NHWC', dilations),
  shapes: { x: [16, ...(strides === 1 ? [8, 7] : [12, 11]), w[2] as number], w },
  ...small,
});
const convolved = (t: Inputs): tf.Tensor4D => tf.conv2d(as4d(t['x']), as4d(t['w']), 1, 'same');
const after = (then: (y: tf.Tensor4D, t: Inputs) => tf.Tensor | Inputs, more: Case['shapes'] = {}): Case => ({
  fn: (t) => then(convolved(t), t),
  shapes: { ...SHAPES, ...more },
  ...small,
});
const again = (y: tf.Tensor, t: Inputs, strides = 1): tf.Tensor4D => tf.conv2d(as4d(y), as4d(t['v']), strides, 'same');
const v = { v: [3, 3, 16, 16] };
/** Batch normalisation by its statistics, gradient through them included. */
const normalised = (x: tf.Tensor4D, t: Inputs): tf.Tensor4D => {
  const centred = tf.sub(x, tf.mean(x, [0, 1, 2]));
  const scale = tf.mul(t['gamma'] as tf.Tensor, tf.rsqrt(tf.add(tf.mean(tf.square(centred), [0, 1, 2]), 1e-5)));
  return tf.add(tf.mul(centred, scale), t['beta'] as tf.Tensor);
};

const cases: Readonly<Record<string, Case>> = {
  '3×3': conv([3, 3, 16, 16], 1, 'same'),
  '3×3 valid': conv([3, 3, 16, 32], 1, 'valid'),
  '3×3 stride 2': conv([3, 3, 16, 16], 2, 'same'),
  '3×3 stride 2, padded by 1': conv([3, 3, 16, 16], 2, 1),
  '2×3 strides 1 and 2': conv([2, 3, 16, 16], [1, 2], 'same'),
  'one position after another': after((y, t) => again(tf.relu(y), t), { v: [1, 1, 16, 32] }),
  '1×1 stride 2': conv([1, 1, 16, 16], 2, 'same'),
  '5×3': conv([5, 3, 16, 16], 1, 'same'),
  // TensorFlow.js has no gradient for it
  '3×2 dilated by 2': { ...conv([3, 2, 16, 16], 1, 'same', 2), gradient: false },
  'from 3 channels': conv([3, 3, 3, 16], 1, 'same'),
  'from 3 channels, 5×5 stride 2': conv([5, 5, 3, 32], 2, 'same'),
  'images that fill no block': { ...conv([3, 3, 16, 16], 1, 'same'), shapes: { x: [5, 11, 10, 16], w: [3, 3, 16, 16] } },
  'two in a row': after((y, t) => again(tf.relu(y), t), v),
  'two in a row, stride 2': after((y, t) => again(tf.relu(y), t, 2), v),
  'what is rectified and used as it is': after((y, t) => tf.add(again(tf.relu(y), t), y), v),
  'scale and shift': after((y, t) => again(tf.relu(tf.add(tf.mul(y, t['a'] as tf.Tensor), t['b'] as tf.Tensor)), t), {
    ...v,
    a: [16],
    b: [16],
  }),
  'scale and shift with leading axes': after((y, t) => again(tf.add(t['b'] as tf.Tensor, tf.mul(t['a'] as tf.Tensor, y)), t), {
    ...v,
    a: [1, 1, 1, 16],
    b: [1, 1, 16],
  }),
  'two shifts': after((y, t) => again(tf.add(tf.sub(y, t['a'] as tf.Tensor), t['b'] as tf.Tensor), t), { ...v, a: [16], b: [16] }),
  'a vector minus it': after((y, t) => again(tf.sub(t['a'] as tf.Tensor, y), t), { ...v, a: [16] }),
  'divided by a vector': after((y, t) => again(tf.div(y, tf.add(tf.square(t['a'] as tf.Tensor), 1)), t), { ...v, a: [16] }),
  'one number an image, as many as channels': after((y, t) => again(tf.mul(y, t['a'] as tf.Tensor), t), { ...v, a: [16, 1, 1, 1] }),
  'one number a position': after((y, t) => again(tf.mul(y, t['a'] as tf.Tensor), t), { ...v, a: [1, 6, 6, 1] }),
  'a number': after((y, t) => again(tf.add(tf.mul(y, 0.5), 0.25), t), v),
  'sum of two scaled ones': after(
    (y, t) => again(tf.relu(tf.add(tf.mul(y, t['a'] as tf.Tensor), tf.mul(as4d(t['x']), t['b'] as tf.Tensor))), t),
    { ...v, a: [16], b: [16] },
  ),
  'sum of itself and its scaled self': after((y, t) => again(tf.add(tf.mul(y, t['a'] as tf.Tensor), y), t), { ...v, a: [16] }),
  addN: after((y, t) => again(tf.addN([y, t['c'] as tf.Tensor, tf.ones([16, 6, 6, 16]), y]), t), { ...v, c: [16, 6, 6, 16] }),
  'product of two': after((y, t) => again(tf.mul(y, again(y, t)), t), v),
  'leaky relu, clip and square': after((y, t) => again(tf.square(tf.clipByValue(tf.leakyRelu(y, 0.1), -0.5, 0.5)), t), v),
  'mean of each image': after((y) => tf.mean(tf.relu(y), [1, 2])),
  'sum of each image, axes kept': after((y) => tf.mul(y, tf.sum(y, [2, 1], true))),
  'mean of each channel': after((y) => tf.mean(tf.square(y), [0, 1, 2])),
  'sum of each channel, axes kept': after((y) => tf.mul(y, tf.sum(y, [0, 1, 2], true))),
  'largest of each row': { ...after((y) => tf.max(y, [2])), gradient: false },
  'truth values': {
    ...after((y, t) => again(tf.where(tf.greater(y, t['c'] as tf.Tensor), y, tf.zerosLike(y)), t), { ...v, c: [16, 6, 6, 16] }),
    gradient: false,
  },
  'max pooling': after((y, t) => again(tf.maxPool(y, 2, 2, 'valid'), t), v),
  'reshape, transpose, concatenation and slice': after((y) => {
    const turned = tf.transpose(tf.concat([tf.relu(y), y], 3), [0, 3, 1, 2]);
    return tf.reshape(tf.slice(turned, [0, 4, 0, 0], [16, 20, 6, 6]), [16, 20, 36]);
  }),
  'broadcast to more images': { ...after((y, t) => tf.add(y, t['c'] as tf.Tensor), { x: [1, 24, 24, 16], c: [2, 24, 24, 16] }) },
  'batch normalisation and a shortcut': after((y, t) => tf.relu(tf.add(normalised(again(tf.relu(normalised(y, t)), t), t), as4d(t['x']))), {
    ...v,
    gamma: [16],
    beta: [16],
  }),
};

/** 8 and 16: what a machine without the operators cannot run is recorded at least. */
const traced = (test: Case, block: number): Graph =>
  trace(withGradient(test, Object.keys(test.shapes)), { inputs: specsOf(test) }, { block });

describe('channels in blocks', () => {
  it.each(Object.entries(cases))('%s', async (name, test) => {
    const domains = new Set(traced(test, 8).nodes.map(({ domain }) => domain));
    expect(domains).toContain('com.microsoft.nchwc');
    await expectCompiledEqualsEager(name, test, { tolerance: TOLERANCE });
  });

  // machines with AVX-512 have them; the operators of one block size run on no machine of the other
  it.each(Object.entries(cases))('%s is recorded for blocks of 16 as for those of 8', (_, test) => {
    const [eight, sixteen] = [traced(test, 8), traced(test, 16)];
    const described = ({ nodes }: Graph): string[] =>
      nodes.map(({ op, domain, inputs, output, attributes }) => {
        const wired = inputs.map((value) => (value === undefined ? 'none' : value.shape.length));
        return `${domain ?? ''} ${op} ${wired.join()} ${output.shape.length} ${JSON.stringify(attributes)}`;
      });
    expect(described(sixteen)).toEqual(described(eight));
    for (const { op, domain, inputs, output } of sixteen.nodes) {
      if (domain === undefined) continue;
      expect((output.shape[1] as number) % 16, op).toBe(0);
      // a filter that was rearranged has as many numbers as before
      if (op === 'Conv' && inputs[1] !== undefined) expect(inputs[1].shape).toHaveLength(4);
    }
  });

  it('gives the gradient of a rectified number by whether it is above 0: tiny, infinite and negative ones', async () => {
    const numbers = [1.2e-38, 1e-30, 1, 3e38, Number.POSITIVE_INFINITY, 0, -0, -1e-30, -1, -3e38, Number.NEGATIVE_INFINITY];
    const engine = await onnxRuntimeEngine({ threads: 1 });
    // the identity as a convolution, so that its result lies in blocks
    const shape = [16, 8, 8, 16];
    const compiled = await engine.compile(({ x, w }) => ({ step: tf.step(tf.conv2d(as4d(x), as4d(w), 1, 'same')) }), {
      inputs: { x: { shape, dtype: 'float32' }, w: { shape: [1, 1, 16, 16], dtype: 'float32' } },
    });
    const identity = Float32Array.from({ length: 256 }, (_, i) => (i % 17 === 0 ? 1 : 0));
    for (const number of numbers) {
      const finite = Number.isFinite(number);
      const x = new Float32Array(16 * 64 * 16).fill(finite ? number : 3e38);
      const w = finite ? identity : identity.map((one) => one * number || 0);
      const result = await compiled.run({
        x: { dtype: 'float32', shape, data: x },
        w: { dtype: 'float32', shape: [1, 1, 16, 16], data: w },
      });
      expect(new Set(result['step']?.data as Float32Array), String(number)).toEqual(new Set([number > 0 ? 1 : 0]));
    }
    await compiled.dispose();
  });

  it('leaves constant filters to the runtime, which knows how to arrange them', () => {
    const w = tf.ones<tf.Rank.R4>([3, 3, 16, 16]);
    const graph = trace(
      ({ x }) => ({ y: tf.conv2d(as4d(x), as4d(w), 1, 'same') }),
      { inputs: { x: { shape: [16, 10, 13, 16], dtype: 'float32' } } },
      { block: 8 },
    );
    expect(graph.nodes.map(({ op, domain }) => `${domain ?? ''}.${op}`)).not.toContain('com.microsoft.nchwc.Conv');
    w.dispose();
  });

  it('does batch normalisation, shortcut and activation in one operation each', () => {
    const text = printGraph(traced({ ...(cases['batch normalisation and a shortcut'] as Case), gradient: false }, 8));
    expect(text).toMatchInlineSnapshot(`
      "graph(x: float32[16, 6, 6, 16], w: float32[3, 3, 16, 16], v: float32[3, 3, 16, 16], gamma: float32[16], beta: float32[16])
        constant constant_0: int64[6]
        constant constant_1: int64[4]
        constant constant_2: int64[2]
        constant constant_3: float32[16, 1, 1, 1]
        constant constant_4: float32[]
        constant constant_5: int64[4]
        Reshape_0: float32[3, 3, 2, 8, 2, 8] = Reshape(w, constant_0)
        Transpose_0: float32[2, 2, 3, 3, 8, 8] = Transpose(Reshape_0, perm=[4, 2, 0, 1, 3, 5])
        Reshape_1: float32[16, 16, 3, 3] = Reshape(Transpose_0, constant_1)
        Transpose_1: float32[16, 16, 6, 6] = Transpose(x, perm=[0, 3, 1, 2])
        ReorderInput_0: float32[16, 16, 6, 6] = com.microsoft.nchwc.ReorderInput(Transpose_1)
        Conv_0: float32[16, 16, 6, 6] = com.microsoft.nchwc.Conv(ReorderInput_0, Reshape_1, kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], pads=[1, 1, 1, 1])
        GlobalAveragePool_0: float32[16, 16, 1, 1] = com.microsoft.nchwc.GlobalAveragePool(Conv_0)
        Reshape_2: float32[16, 16] = Reshape(GlobalAveragePool_0, constant_2)
        ReduceMean_0: float32[16] = ReduceMean(Reshape_2, axes=[0], keepdims=0)
        Neg_0: float32[16] = Neg(ReduceMean_0)
        Conv_1: float32[16, 16, 6, 6] = com.microsoft.nchwc.Conv(Conv_0, constant_3, Neg_0, kernel_shape=[1, 1], group=16)
        Mul_0: float32[16, 16, 6, 6] = Mul(Conv_1, Conv_1)
        GlobalAveragePool_1: float32[16, 16, 1, 1] = com.microsoft.nchwc.GlobalAveragePool(Mul_0)
        Reshape_3: float32[16, 16] = Reshape(GlobalAveragePool_1, constant_2)
        ReduceMean_1: float32[16] = ReduceMean(Reshape_3, axes=[0], keepdims=0)
        Add_0: float32[16] = Add(ReduceMean_1, constant_4)
        Sqrt_0: float32[16] = Sqrt(Add_0)
        Reciprocal_0: float32[16] = Reciprocal(Sqrt_0)
        Mul_1: float32[16] = Mul(gamma, Reciprocal_0)
        Reshape_4: float32[16, 1, 1, 1] = Reshape(Mul_1, constant_5)
        Conv_2: float32[16, 16, 6, 6] = com.microsoft.nchwc.Conv(Conv_1, Reshape_4, beta, kernel_shape=[1, 1], group=16, activation="Relu")
        Reshape_5: float32[3, 3, 2, 8, 2, 8] = Reshape(v, constant_0)
        Transpose_2: float32[2, 2, 3, 3, 8, 8] = Transpose(Reshape_5, perm=[4, 2, 0, 1, 3, 5])
        Reshape_6: float32[16, 16, 3, 3] = Reshape(Transpose_2, constant_1)
        Conv_3: float32[16, 16, 6, 6] = com.microsoft.nchwc.Conv(Conv_2, Reshape_6, kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], pads=[1, 1, 1, 1])
        GlobalAveragePool_2: float32[16, 16, 1, 1] = com.microsoft.nchwc.GlobalAveragePool(Conv_3)
        Reshape_7: float32[16, 16] = Reshape(GlobalAveragePool_2, constant_2)
        ReduceMean_2: float32[16] = ReduceMean(Reshape_7, axes=[0], keepdims=0)
        Neg_1: float32[16] = Neg(ReduceMean_2)
        Conv_4: float32[16, 16, 6, 6] = com.microsoft.nchwc.Conv(Conv_3, constant_3, Neg_1, kernel_shape=[1, 1], group=16)
        Mul_2: float32[16, 16, 6, 6] = Mul(Conv_4, Conv_4)
        GlobalAveragePool_3: float32[16, 16, 1, 1] = com.microsoft.nchwc.GlobalAveragePool(Mul_2)
        Reshape_8: float32[16, 16] = Reshape(GlobalAveragePool_3, constant_2)
        ReduceMean_3: float32[16] = ReduceMean(Reshape_8, axes=[0], keepdims=0)
        Add_1: float32[16] = Add(ReduceMean_3, constant_4)
        Sqrt_1: float32[16] = Sqrt(Add_1)
        Reciprocal_1: float32[16] = Reciprocal(Sqrt_1)
        Mul_3: float32[16] = Mul(gamma, Reciprocal_1)
        Reshape_9: float32[16, 1, 1, 1] = Reshape(Mul_3, constant_5)
        Conv_5: float32[16, 16, 6, 6] = com.microsoft.nchwc.Conv(Conv_4, Reshape_9, beta, ReorderInput_0, kernel_shape=[1, 1], group=16, activation="Relu")
        ReorderOutput_0: float32[16, 16, 6, 6] = com.microsoft.nchwc.ReorderOutput(Conv_5, channels=16)
        result: float32[16, 6, 6, 16] = Transpose(ReorderOutput_0, perm=[0, 2, 3, 1])
        return result"
    `);
  });
});
