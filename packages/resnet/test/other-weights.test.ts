/** What makes other weights of weights: folding, six channels, other classes, state dicts. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  checkWeights,
  decodeSafetensors,
  encodeSafetensors,
  inferenceContext,
  initWeights,
  ndArray,
  openSafetensors,
  Random,
  type NamedArrays,
  type NdArray,
} from '@coda-nets/core';
import { expectClose, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import {
  exportStateDict,
  foldBatchNorm,
  importStateDict,
  loadStateDict,
  resnet,
  withClasses,
  withSixChannels,
  type ResnetOptions,
} from '../src/index.ts';
import { goldenWeight } from './golden-values.ts';

/** The same sums of float32 in another order, through at most 50 layers. */
const tolerance = { rtol: 1e-5, relativeTo: 'largest' } as const;

const tiny: ResnetOptions = { kind: 'resnet', design: 'imagenet', depth: 18, width: 4, classes: 3, inputShape: [37, 44, 3] };
const networks: readonly (readonly [string, ResnetOptions])[] = [
  ['ResNet-18', tiny],
  ['ResNeXt-50', { ...tiny, depth: 50, width: 8, groups: 2, widthPerGroup: 32 }],
  ['3×3 stem, option A', { ...tiny, stem: '3x3', shortcut: 'pad' }],
  ['CIFAR', { kind: 'resnet', depth: 8, width: 4 }],
];

beforeAll(() => useBackend('cpu'));

/** Norms and statistics that do something. */
function randomWeights(options: ResnetOptions): NamedArrays {
  return Object.fromEntries(
    Object.entries(resnet(options).weights).map(([name, spec], i) => [
      name,
      ndArray('float32', spec.shape, goldenWeight(name, spec, 70 + i)),
    ]),
  );
}

function logitsOf(options: ResnetOptions, weights: NamedArrays): tf.Tensor2D {
  const images = randomTensor<tf.Rank.R4>([2, 37, 44, 3], 3, { min: 0 });
  const tensors = Object.fromEntries(
    Object.entries(weights).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]),
  );
  return resnet(options).forward(tensors, images, inferenceContext).logits;
}

it('gives the same logits with six channels where there is no normalisation to keep', () => {
  tf.tidy(() => {
    const options: ResnetOptions = { kind: 'resnet', depth: 8, width: 4, normalisation: null };
    const weights = randomWeights(options);
    for (const normalisation of ['folded', 'kept'] as const) {
      const six = withSixChannels(options, weights, { normalisation });
      expectClose(logitsOf(six.config, six.weights), logitsOf(options, weights), tolerance);
    }
    expect(() => withSixChannels(options, weights, { normalisation: 'keep' as 'kept' })).toThrow(
      'withSixChannels: normalisation: no such way',
    );
  });
});

describe.each(networks)('%s', (_, options) => {
  it('gives the same logits when its batch norms are folded', () => {
    tf.tidy(() => {
      const weights = randomWeights(options);
      const folded = foldBatchNorm(options, weights);
      expect(Object.keys(folded.weights).filter((name) => /bn|running|downsample\.1/.test(name))).toEqual([]);
      checkWeights(resnet(folded.config), folded.weights, 'folded');
      expectClose(logitsOf(folded.config, folded.weights), logitsOf(options, weights), tolerance);
      expect(foldBatchNorm(folded.config, folded.weights)).toEqual(folded);
    });
  });

  it.each(['folded', 'kept'] as const)(
    'gives the same logits with six channels and its normalisation %s, up to the border',
    (normalisation) => {
      tf.tidy(() => {
        const weights = randomWeights(options);
        const six = withSixChannels(options, weights, { normalisation });
        expect(six.config).toMatchObject({ encoding: 'rgb6' });
        expect(six.config.normalisation === null).toBe(normalisation === 'folded');
        expect(resnet(six.config).taps[0]).toMatchObject({ name: 'input', channels: 6 });
        checkWeights(resnet(six.config), six.weights, 'six');
        expectClose(logitsOf(six.config, six.weights), logitsOf(options, weights), tolerance);
        // A constant for the normalisation instead of weights would be wrong where zeros stand around the image.
        expect(six.weights['conv1.weight']?.shape[2]).toBe(6);
        expect(() => withSixChannels(six.config, six.weights)).toThrow(
          'withSixChannels: config.encoding: has six channels already; got "rgb6"',
        );
      });
    },
  );

  it('takes another number of classes and keeps the rest', () => {
    const weights = randomWeights(options);
    const other = withClasses(options, weights, 7, Random.seeded(5));
    checkWeights(resnet(other.config), other.weights, 'other');
    for (const [name, array] of Object.entries(other.weights)) expect(array === weights[name], name).toBe(!name.startsWith('fc.'));
    expect(() => withClasses(options, weights, 1, Random.seeded(5))).toThrow('withClasses: config: classes');
  });

  it('goes to a state dict and back', () => {
    const weights = randomWeights(options);
    const state = exportStateDict(weights, options);
    expect(importStateDict(state, options)).toEqual(weights);
    const wrapped = Object.fromEntries(Object.entries(state).map(([name, array]) => [`module.${name}`, array]));
    expect(importStateDict(wrapped, options)).toEqual(weights);
    expect(Object.keys(state).slice(0, 6)).toEqual([
      'conv1.weight',
      'bn1.weight',
      'bn1.bias',
      'bn1.running_mean',
      'bn1.running_var',
      'bn1.num_batches_tracked',
    ]);
  });
});

describe('a state dict', () => {
  const weights = initWeights(resnet(tiny), Random.seeded(1));
  const state = exportStateDict(weights, tiny);

  it('has PyTorch’s axes', () => {
    const kernel = state['layer2.0.conv1.weight'] as NdArray;
    expect(kernel.shape).toEqual([8, 4, 3, 3]);
    const ours = weights['layer2.0.conv1.weight'] as NdArray;
    // [o, i, y, x] = [5, 2, 1, 0]
    expect(kernel.data[((5 * 4 + 2) * 3 + 1) * 3]).toBe(ours.data[((1 * 3 + 0) * 4 + 2) * 8 + 5]);
    expect(state['fc.weight']?.shape).toEqual([3, 32]);
    expect(state['fc.weight']?.data[1 * 32 + 7]).toBe(weights['fc.weight']?.data[7 * 3 + 1]);
  });

  it('may be in float64', () => {
    const wide = Object.fromEntries(
      Object.entries(state).map(([name, array]) => [
        name,
        array.dtype === 'float32' ? ndArray('float64', array.shape, Float64Array.from(array.data as Float32Array)) : array,
      ]),
    );
    expect(importStateDict(wide, tiny)).toEqual(weights);
  });

  it.each([{}, { 'layer1.0.conv1.weight': 'F16', 'fc.bias': 'BF16' }] as const)(
    'loads from a file a part at a time: %j',
    async (halves) => {
      const wrapped = Object.fromEntries(Object.entries(state).map(([name, array]) => [`module.${name}`, array]));
      const bytes = encodeSafetensors(
        wrapped,
        {},
        Object.fromEntries(Object.entries(halves).map(([name, dtype]) => [`module.${name}`, dtype])),
      );
      const file = await openSafetensors(new Blob([bytes as Uint8Array<ArrayBuffer>]));
      const seen: [number, number][] = [];
      const loaded = await loadStateDict(file, tiny, { onProgress: (done, total) => void seen.push([done, total]) });
      expect(loaded).toEqual(importStateDict(decodeSafetensors(bytes, 'bytes').tensors, tiny));
      if (Object.keys(halves).length === 0) expect(loaded).toEqual(weights);
      const [done, total] = seen.at(-1) as [number, number];
      expect(done).toBe(total);
    },
  );

  it('with a number that is not finite is refused by the name of the tensor', async () => {
    for (const [wrong, got] of [
      [Float64Array.of(1, Number.NaN, 0), 'NaN'],
      [Float64Array.of(1e300, 0, 0), 'Infinity'],
    ] as const) {
      const broken = { ...state, 'fc.bias': ndArray('float64', [3], wrong) };
      const message = `net: fc.bias: a weight is not a finite float32; got ${got}`;
      expect(() => importStateDict(broken, tiny, 'net')).toThrow(message);
      const file = await openSafetensors(new Blob([encodeSafetensors(broken) as Uint8Array<ArrayBuffer>]));
      await expect(loadStateDict(file, tiny, { where: 'net' })).rejects.toThrow(message);
    }
  });

  it('is not made of weights of another network, nor is a negative variance folded', () => {
    const { 'fc.bias': _, ...others } = weights;
    expect(() => exportStateDict(others, tiny)).toThrow(/exportStateDict: weights: .*fc\.bias/);
    const negative = { ...weights, 'bn1.running_var': ndArray('float32', [4], Float32Array.of(1, 1, -0.5, 1)) };
    expect(() => foldBatchNorm(tiny, negative)).toThrow(
      'foldBatchNorm: bn1.running_var[2]: no variance: its root would not be a number; expected more than −0.00001, got -0.5',
    );
  });

  it('is compared with the config before a tensor of it is read', async () => {
    const { 'fc.bias': _, ...others } = state;
    const file = await openSafetensors(
      new Blob([encodeSafetensors({ ...others, extra: state['fc.bias'] as NdArray }) as Uint8Array<ArrayBuffer>]),
    );
    const visit = vi.spyOn(file, 'visit');
    await expect(loadStateDict(file, tiny, { where: 'net.safetensors' })).rejects.toThrow(
      "net.safetensors: the state dict is not this config's: missing fc.bias; unexpected extra",
    );
    await expect(loadStateDict(file, { ...tiny, depth: 34 })).rejects.toThrow(
      /^loadStateDict: the state dict is not this config's: missing layer1\.2/,
    );
    expect(visit).not.toHaveBeenCalled();
  });

  it('of another network is refused with everything that differs', () => {
    const { 'layer1.0.bn2.bias': _, ...others } = state;
    const broken = { ...others, 'fc.bias': ndArray('int32', [3], new Int32Array(3)), extra: ndArray('float32', [1], new Float32Array(1)) };
    expect(() => importStateDict(broken, tiny, 'a.safetensors')).toThrow(
      "a.safetensors: the state dict is not this config's: missing layer1.0.bn2.bias; unexpected extra; mismatched fc.bias (expected float32 [3], got int32 [3])",
    );
    expect(() => importStateDict(state, { ...tiny, depth: 34 })).toThrow(/missing layer1\.2\.conv1\.weight, .*, and 72 more/);
  });
});
