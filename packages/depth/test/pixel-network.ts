/**
 * A network whose every attribution has a closed form: pixels do not interact.
 *     h_k(p) = relu(w_k · x_p + b_k)          z_c = Σ_p Σ_k V_kc h_k(p) + b₀
 * so that what pixel p adds to z_c, against a black one, is Σ_k V_kc (h_k(p) − relu(b_k)). The twins below are plain loops in float64.
 */
import * as tf from '@tensorflow/tfjs-core';
import { ndArray, type NdArray, type Network } from '@coda-nets/core';
import { randomValues } from '@coda-nets/tools/testkit';

export const PIXEL_SIZE = [3, 4] as const;
const PIXEL_CLASSES = 2;
export const PIXELS = PIXEL_SIZE[0] * PIXEL_SIZE[1];
const HIDDEN = 3;
const BIAS = -0.5;

const shapes = { w: [1, 1, 3, HIDDEN], b: [HIDDEN], v: [HIDDEN, PIXEL_CLASSES] } as const;

export const pixelNetwork: Network = {
  config: { kind: 'pixels' },
  inputShape: [...PIXEL_SIZE, 3],
  classes: PIXEL_CLASSES,
  taps: [
    { name: 'input', channels: 3, stride: 1, exact: false },
    { name: 'hidden', channels: HIDDEN, stride: 1, exact: true },
  ],
  weights: Object.fromEntries(
    Object.entries(shapes).map(([name, shape], i) => [name, { shape, role: 'parameter', decay: false, init: () => values(shape, 10 + i) }]),
  ),
  logitBias: BIAS,
  forward: (weights, images, context) => {
    const x = context.tap('input', images);
    const pre = tf.add(tf.conv2d(x, weights['w'] as tf.Tensor4D, 1, 'valid'), weights['b'] as tf.Tensor1D);
    const hidden = context.tap('hidden', tf.relu(pre) as tf.Tensor4D);
    const logits = tf.add(tf.matMul(tf.sum(hidden, [1, 2]) as tf.Tensor2D, weights['v'] as tf.Tensor2D), BIAS);
    return { logits: logits as tf.Tensor2D, statistics: {} };
  },
  loss: (logits, targets) => tf.mean(tf.square(tf.sub(logits, targets))) as tf.Scalar,
  probabilities: (logits) => tf.sigmoid(logits),
};

export const pixelWeights: Readonly<Record<'w' | 'b' | 'v', NdArray<'float32'>>> = {
  w: values(shapes.w, 10),
  b: values(shapes.b, 11),
  v: values(shapes.v, 12),
};

export function pixelImages(count: number, seed = 3): NdArray<'float32'> {
  const shape = [count, ...PIXEL_SIZE, 3];
  return ndArray('float32', shape, randomValues(count * PIXELS * 3, seed, { min: 0, max: 1 }));
}

/** What the twins see of pixel p: the hidden units, their slopes and weights for class c. */
export interface Unit {
  readonly hidden: number;
  readonly atZero: number;
  readonly active: boolean;
  /** Σ_i w_ki, and Σ_i w_ki x_i. */
  readonly slope: number;
  readonly product: number;
  readonly weight: number;
}

/** map_p = of(units of pixel p), for all pixels of all images. */
export function twin(images: NdArray<'float32'>, c: number, of: (units: readonly Unit[]) => number): Float64Array {
  const { w, b, v } = pixelWeights;
  return Float64Array.from({ length: images.data.length / 3 }, (_, p) => {
    const units = Array.from({ length: HIDDEN }, (__, k): Unit => {
      const at = (i: number): number => w.data[i * HIDDEN + k] as number;
      const product = [0, 1, 2].reduce((sum, i) => sum + at(i) * (images.data[p * 3 + i] as number), 0);
      const bias = b.data[k] as number;
      return {
        hidden: Math.max(0, product + bias),
        atZero: Math.max(0, bias),
        active: product + bias > 0,
        slope: at(0) + at(1) + at(2),
        product,
        weight: v.data[k * PIXEL_CLASSES + c] as number,
      };
    });
    return of(units);
  });
}

/** Σ_k V_kc (h_k − relu(b_k)): what the pixel adds, against a black one. */
export const added = (units: readonly Unit[]): number =>
  units.reduce((sum, { weight, hidden, atZero }) => sum + weight * (hidden - atZero), 0);

function values(shape: readonly number[], seed: number): NdArray<'float32'> {
  return ndArray(
    'float32',
    shape,
    randomValues(
      shape.reduce((product, d) => product * d, 1),
      seed,
    ),
  );
}
