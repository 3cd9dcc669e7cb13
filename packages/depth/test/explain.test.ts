import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Network } from '@coda-nets/core';
import { expectClose, expectNoLeak, finiteDifference, useBackend, expectOnlyResult } from '@coda-nets/tools/testkit';
import { contributionsAtTaps, inputTimesGradient, residualFloor, type Contributions } from '../src/explain.ts';
import type { Target } from '../src/pass-at-taps.ts';
import { TOY_BIAS, TOY_CLASSES, TOY_SIZE, toTensor, toTensors, toyImages, toyNetwork, toyWeights } from './toy-network.ts';

/** What the project promises in float32. */
const COMPLETENESS = 1e-5;
/** Float32 sums of a few hundred terms, in another order. */
const SAME = { rtol: 1e-5, relativeTo: 'largest' } as const;
/** Float32 against float64 central differences with step 1e-5. */
const TWIN = { rtol: 1e-5, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

interface Host {
  readonly logits: Float32Array;
  readonly selector: Float32Array;
  readonly expected: Float32Array;
  readonly taps: Record<string, { map: Float32Array; sum: Float32Array; residual: Float32Array; full: Float32Array; linear: Float32Array }>;
}

function explain(
  network: Network,
  options: { images?: number; seed?: number; target?: () => Target; method?: typeof contributionsAtTaps } = {},
): Host {
  const { images = 2, seed = 1, target = () => tf.fill([images], -1, 'int32') as tf.Tensor1D, method = contributionsAtTaps } = options;
  return tf.tidy(() => {
    const taps = network.taps.map((tap) => tap.name);
    const weights = toTensors(toyWeights(network));
    const read = (x: tf.Tensor): Float32Array => Float32Array.from(x.dataSync());
    const [x, targets] = [toTensor<tf.Tensor4D>(toyImages(images, seed)), target()];
    const result: Contributions = expectOnlyResult(() => method(network, weights, x, targets, taps));
    return {
      logits: read(result.logits),
      selector: read(result.selector),
      expected: read(result.expected),
      taps: Object.fromEntries(
        Object.entries(result.taps).map(([name, tap]) => [
          name,
          {
            map: read(tap.map),
            sum: read(tap.sum),
            residual: read(tap.residual),
            full: read(tap.contributions),
            linear: read(tap.linearMap),
          },
        ]),
      ),
    };
  });
}

const classTarget =
  (...classes: number[]) =>
  () =>
    tf.tensor1d(classes, 'int32');

describe('completeness', () => {
  test.each([0, 1, 2, 3])('holds at every exact tap for class %i', (c) => {
    const network = toyNetwork();
    const { taps, logits } = explain(network, { target: classTarget(c, c) });
    for (const { name } of network.taps) {
      for (let n = 0; n < 2; n++) {
        const expected = (logits[n * TOY_CLASSES + c] as number) - TOY_BIAS;
        const sum = (taps[name]?.map as Float32Array).slice(n * 35, (n + 1) * 35).reduce((total, x) => total + x, 0);
        expect(Math.abs(sum - expected) / Math.abs(expected)).toBeLessThan(COMPLETENESS);
        expect(taps[name]?.residual[n]).toBeLessThan(COMPLETENESS);
      }
    }
  });

  test('fails for gradient × activation with the weights not held', () => {
    const { taps } = explain(toyNetwork(), { method: inputTimesGradient });
    for (const name of ['input', 'layer1']) {
      for (const residual of taps[name]?.residual ?? []) expect(residual).toBeGreaterThan(0.01);
    }
  });

  test('fails below the cut and holds above it', () => {
    const network = toyNetwork({ stem: true });
    const { taps } = explain(network);
    for (const { name, exact } of network.taps) {
      for (const residual of taps[name]?.residual ?? []) {
        if (exact) expect(residual).toBeLessThan(COMPLETENESS);
        else expect(residual).toBeGreaterThan(0.01);
      }
    }
  });

  test('the residual is relative to z − b₀, and to the rounding of b₀ where that is smaller', () => {
    expect(residualFloor(0)).toBe(2 ** -23);
    expect(residualFloor(-4)).toBe(2 ** -21);
    // Dark weights: z = b₀ exactly, so |Σ s − 0| / floor = 0 and not NaN.
    const network = toyNetwork();
    const residual = tf.tidy(() => {
      const weights = Object.fromEntries(Object.entries(toTensors(toyWeights(network))).map(([k, x]) => [k, tf.zerosLike(x)]));
      const images = toTensor<tf.Tensor4D>(toyImages(1));
      return contributionsAtTaps(network, weights, images, tf.tensor1d([0], 'int32'), ['input']).taps['input']?.residual.dataSync()[0];
    });
    expect(residual).toBe(0);
  });
});

describe('algebra', () => {
  test('a batch is explained as its images one by one', () => {
    const network = toyNetwork({ stem: true });
    const batch = explain(network, { images: 2, target: classTarget(1, 3) });
    // The generator draws image by image, so the first image of a batch is the batch of one.
    const single = explain(network, { images: 1, target: classTarget(1) });
    for (const { name } of network.taps) {
      expectClose((batch.taps[name]?.map as Float32Array).slice(0, 35), single.taps[name]?.map as Float32Array, SAME);
    }
  });

  test('linear in the class selector', () => {
    const network = toyNetwork();
    const one = explain(network, { images: 1, target: classTarget(1) });
    const two = explain(network, { images: 1, target: classTarget(2) });
    const mixed = explain(network, { images: 1, target: () => tf.tensor2d([[0, 2, -3, 0]]) });
    for (const { name } of network.taps) {
      const [a, b] = [one.taps[name]?.full as Float32Array, two.taps[name]?.full as Float32Array];
      expectClose(
        mixed.taps[name]?.full as Float32Array,
        a.map((x, i) => 2 * x - 3 * (b[i] as number)),
        SAME,
      );
    }
    expectClose(mixed.expected, [2 * (one.expected[0] as number) - 3 * (two.expected[0] as number)], SAME);
  });

  test('the temperature scales contributions exactly', () => {
    // A power of two changes no mantissa.
    const cold = explain(toyNetwork({ temperature: 8 }), { target: classTarget(0, 0) });
    const warm = explain(toyNetwork({ temperature: 32 }), { target: classTarget(0, 0) });
    for (const [name, tap] of Object.entries(cold.taps)) {
      expect(warm.taps[name]?.full).toEqual(tap.full.map((x) => x / 4));
    }
  });

  test('contributions of a tap carried further back are those of the input', () => {
    // The linear map at layer1, taken as the objective's weights there: s_input = x ⊙ Wᵀ_{input→layer1} · W_{layer1→z}.
    const network = toyNetwork();
    const { taps } = explain(network, { images: 1, target: classTarget(2) });
    const carried = tf.tidy(() => {
      const upper = tf.tensor4d(taps['layer1']?.linear as Float32Array, [1, ...TOY_SIZE, 5]);
      const truncated: Network = {
        ...network,
        forward: (weights, images, context) => {
          let stop: tf.Tensor4D | undefined;
          network.forward(weights, images, {
            training: false,
            tap: (name, x) => {
              const y = context.tap(name, x);
              if (name === 'layer1') stop = y as unknown as tf.Tensor4D;
              return y;
            },
          });
          return { logits: tf.reshape(tf.sum(tf.mul(stop as tf.Tensor4D, upper)), [1, 1]), statistics: {} };
        },
      };
      const images = toTensor<tf.Tensor4D>(toyImages(1));
      const result = contributionsAtTaps(truncated, toTensors(toyWeights(network)), images, tf.tensor2d([[1]]), ['input']);
      return Float32Array.from(result.taps['input']?.contributions.dataSync() ?? []);
    });
    expectClose(carried, taps['input']?.full as Float32Array, SAME);
  });

  test('on a linear network held and not held agree, and the map is w ⊙ x', () => {
    const network = toyNetwork({ linear: true });
    const held = explain(network, { target: classTarget(1, 1) });
    const plain = explain(network, { target: classTarget(1, 1), method: inputTimesGradient });
    const other = explain(network, { target: classTarget(1, 1), seed: 2 });
    expect(held.taps['input']?.full).toEqual(plain.taps['input']?.full);
    // The same linear map for every image, and s = w ⊙ x of the encoded image.
    expect(other.taps['input']?.linear).toEqual(held.taps['input']?.linear);
    const x = encode(toyImages(2).data);
    const w = held.taps['input']?.linear as Float32Array;
    expectClose(
      held.taps['input']?.full as Float32Array,
      x.map((value, i) => value * (w[i] as number)),
      SAME,
    );
  });
});

describe('targets', () => {
  test('−1 is the top class, of each image', () => {
    const network = toyNetwork();
    const chosen = explain(network, { images: 3, target: classTarget(-1, 2, -1) });
    const classes = [0, 1, 2].map((n) => chosen.selector.slice(n * TOY_CLASSES, (n + 1) * TOY_CLASSES).indexOf(1));
    const top = [0, 1, 2].map((n) => {
      const row = chosen.logits.slice(n * TOY_CLASSES, (n + 1) * TOY_CLASSES);
      return row.indexOf(Math.max(...row));
    });
    expect(classes).toEqual([top[0], 2, top[2]]);
    const named = explain(network, { images: 3, target: classTarget(...classes) });
    expect(chosen.taps).toEqual(named.taps);
  });

  test('a one-hot target is the class it points at', () => {
    const network = toyNetwork();
    const byIndex = explain(network, { images: 1, target: classTarget(3) });
    const byOneHot = explain(network, { images: 1, target: () => tf.tensor2d([[0, 0, 0, 1]]) });
    expect(byOneHot).toEqual(byIndex);
  });
});

describe('against a slow twin', () => {
  test('contributions at the input equal float64 differences with the gates held', () => {
    const network = toyNetwork();
    const c = 2;
    const { taps } = explain(network, { images: 1, target: classTarget(c) });
    const weights = toyWeights(network);
    const w = (name: string): Float32Array => weights[name]?.data as Float32Array;
    const x = encode(toyImages(1).data);
    const gates0 = conv(x, w('g0'), 6, 5).map(sigmoid);
    const layer1 = conv(x, w('a0'), 6, 5).map((v, i) => v * (gates0[i] as number));
    const gates1 = conv(layer1, w('g1'), 5, TOY_CLASSES).map(sigmoid);
    const above = (a: ArrayLike<number>): number => {
      let sum = 0;
      const out = conv(a, w('a1'), 5, TOY_CLASSES);
      for (let i = c; i < out.length; i += TOY_CLASSES) sum += (out[i] as number) * (gates1[i] as number);
      return sum / 8 + TOY_BIAS;
    };
    const whole = (a: ArrayLike<number>): number => above(conv(a, w('a0'), 6, 5).map((v, i) => v * (gates0[i] as number)));
    const atInput = finiteDifference(whole, x).map((g, i) => g * (x[i] as number));
    const atLayer1 = finiteDifference(above, layer1).map((g, i) => g * (layer1[i] as number));
    expectClose(taps['input']?.full as Float32Array, atInput, TWIN);
    expectClose(taps['layer1']?.full as Float32Array, atLayer1, TWIN);
    const map = Float64Array.from({ length: 35 }, (_, p) => atInput.slice(p * 6, p * 6 + 6).reduce((a, b) => a + b, 0));
    expectClose(taps['input']?.map as Float32Array, map, TWIN);
  });
});

describe('use', () => {
  test.each([contributionsAtTaps, inputTimesGradient])('leaves nothing behind but its result: %o', (method) => {
    // counts the tensors
    expect(() => explain(toyNetwork({ stem: true }), { method })).not.toThrow();
  });

  test('an unknown tap is named with the nearest and the known ones', () => {
    const network = toyNetwork();
    const [weights, images, target] = [
      toTensors(toyWeights(network)),
      toTensor<tf.Tensor4D>(toyImages(1)),
      tf.tensor1d([0], 'int32'),
    ] as const;
    const call = (taps: string[]) => () => contributionsAtTaps(network, weights, images, target, taps);
    expectNoLeak(() => {
      expect(call(['layer3'])).toThrow(
        'explain: tap "layer3": the network has no such tap; expected one of input, layer1, layer2. Did you mean "layer1"?',
      );
    });
    expect(call(['input', 'input'])).toThrow('explain: tap "input": the tap is named twice');
  });

  test('a tap that is not a map is refused', () => {
    const toy = toyNetwork();
    const network: Network = {
      ...toy,
      taps: [...toy.taps, { name: 'logits', channels: 4, stride: 1, exact: true }],
      forward: (weights, images, context) => {
        const { logits, statistics } = toy.forward(weights, images, context);
        return { logits: context.tap('logits', logits), statistics };
      },
    };
    expect(() => explain(network)).toThrow('explain: tap "logits": its activation is not a map; expected shape [N, h, w, C], got [2, 4]');
  });
});

/** [N, h, w, 3] → [N, h, w, 6], flat. */
function encode(images: ArrayLike<number>): Float64Array {
  const x = new Float64Array(images.length * 2);
  for (let i = 0; i < images.length; i++) {
    const [pixel, channel] = [Math.floor(i / 3), i % 3];
    x[pixel * 6 + channel] = images[i] as number;
    x[pixel * 6 + 3 + channel] = Math.fround(1 - (images[i] as number));
  }
  return x;
}

/** 3×3, zero padding 1, one image [h, w, from] with kernel [3, 3, from, to]. */
function conv(x: ArrayLike<number>, kernel: ArrayLike<number>, from: number, to: number): Float64Array {
  const [h, w] = TOY_SIZE;
  const out = new Float64Array(h * w * to);
  for (let y = 0; y < h; y++) {
    for (let u = 0; u < w; u++) {
      for (let j = 0; j < to; j++) {
        let sum = 0;
        for (let ky = 0; ky < 3; ky++) {
          for (let kx = 0; kx < 3; kx++) {
            const [yy, uu] = [y + ky - 1, u + kx - 1];
            if (yy < 0 || yy >= h || uu < 0 || uu >= w) continue;
            for (let i = 0; i < from; i++) {
              sum += (x[(yy * w + uu) * from + i] as number) * (kernel[((ky * 3 + kx) * from + i) * to + j] as number);
            }
          }
        }
        out[(y * w + u) * to + j] = sum;
      }
    }
  }
  return out;
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
