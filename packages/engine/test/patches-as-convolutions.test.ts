/** Products of patches with constants run as convolutions: the numbers of plain loops, and which products are left alone. */
import { ndArray, sizeOf, type NamedTensors, type NdArray } from '@coda-nets/core';
import { onnxRuntimeEngine, type OnnxEngine } from '@coda-nets/engine';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';

/** Float32 sums of some hundred products against float64 ones. */
const SUMS = { rtol: 1e-5, relativeTo: 'largest' } as const;
/** A multiple of every block there is: 8 with AVX2, 16 with AVX-512. */
const CHANNELS = 16;
const OUTPUTS = 24;

let engine: OnnxEngine;
let hasBlocks: boolean;
beforeAll(async () => {
  await useBackend('cpu');
  engine = await onnxRuntimeEngine({ threads: 1 });
  // without the blocked operators everything stays a product, and the numbers are tested all the same
  hasBlocks = Object.hasOwn(await operatorsOf({ kernel: 3, stride: 1, padding: 1 }), 'Conv');
});

interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** As a layer of units gathers them: [N, H, W, C] → [N·H'·W', k·k·C]. */
function patches(x: tf.Tensor4D, { kernel, stride, padding }: Window): tf.Tensor2D {
  const around: [number, number] = [padding, padding];
  const padded = padding === 0 ? x : tf.pad(x, [[0, 0], around, around, [0, 0]]);
  const [batch, h, w, channels] = padded.shape as [number, number, number, number];
  const [rows, columns] = [h, w].map((length) => Math.floor((length - kernel) / stride) + 1) as [number, number];
  const parts = Array.from({ length: kernel * kernel }, (_, i) => {
    const [y, left] = [Math.floor(i / kernel), i % kernel];
    const end = [batch, y + (rows - 1) * stride + 1, left + (columns - 1) * stride + 1, channels];
    return tf.stridedSlice(padded, [0, y, left, 0], end, [1, stride, stride, 1]);
  });
  return tf.reshape(tf.concat(parts, 3), [-1, kernel * kernel * channels]);
}

const array = (shape: readonly number[], seed: number): NdArray<'float32'> => ndArray('float32', shape, randomValues(sizeOf(shape), seed));

async function compiled(window: Window, { size = [6, 9], channels = CHANNELS, constant = true } = {}) {
  const weights = array([window.kernel ** 2 * channels, OUTPUTS], 1);
  const fn = ({ x, w }: NamedTensors): NamedTensors => ({ y: tf.matMul(patches(x as tf.Tensor4D, window), w as tf.Tensor2D) });
  const image = { shape: ['batch', ...size, channels], dtype: 'float32' } as const;
  const given = constant
    ? { inputs: { x: image }, constants: { w: weights } }
    : { inputs: { x: image, w: { shape: weights.shape, dtype: 'float32' } as const } };
  const one = await engine.compile(fn, given);
  const x = array([2, ...size, channels], 2);
  const { y } = await one.run(constant ? { x } : { x, w: weights });
  const { operators } = one.report();
  await one.dispose();
  return { y: y as NdArray<'float32'>, x, weights, operators };
}

async function operatorsOf(window: Window, options: Parameters<typeof compiled>[1] = {}): Promise<Readonly<Record<string, number>>> {
  return (await compiled(window, options)).operators;
}

/** Σ over the window in loops. */
function twin({ data: x, shape }: NdArray<'float32'>, { data: w }: NdArray<'float32'>, { kernel, stride, padding }: Window): Float64Array {
  const [images, h, width, channels] = shape as readonly [number, number, number, number];
  const [rows, columns] = [h, width].map((length) => Math.floor((length + 2 * padding - kernel) / stride) + 1) as [number, number];
  const y = new Float64Array(images * rows * columns * OUTPUTS);
  for (let i = 0; i < y.length; i++) {
    const o = i % OUTPUTS;
    const place = Math.floor(i / OUTPUTS);
    const [n, row, column] = [Math.floor(place / (rows * columns)), Math.floor(place / columns) % rows, place % columns];
    for (let k = 0; k < kernel * kernel * channels; k++) {
      const [c, at] = [k % channels, Math.floor(k / channels)];
      const [yy, xx] = [row * stride + Math.floor(at / kernel) - padding, column * stride + (at % kernel) - padding];
      if (yy < 0 || xx < 0 || yy >= h || xx >= width) continue;
      (y[i] as number) += (x[((n * h + yy) * width + xx) * channels + c] as number) * (w[k * OUTPUTS + o] as number);
    }
  }
  return y;
}

describe('a product of patches with a constant', () => {
  test.each<Window & { readonly size: readonly [number, number] }>([
    { kernel: 3, stride: 1, padding: 1, size: [6, 9] },
    { kernel: 3, stride: 2, padding: 1, size: [7, 8] },
    { kernel: 2, stride: 2, padding: 0, size: [5, 6] },
    { kernel: 5, stride: 3, padding: 2, size: [9, 4] },
  ])('%o: a convolution, with the numbers of loops', async ({ size, ...window }) => {
    const { y, x, weights, operators } = await compiled(window, { size: [...size] });
    expectClose(y.data, twin(x, weights, window), SUMS);
    if (hasBlocks) expect([operators['Conv'], operators['Gemm']]).toEqual([1, undefined]);
  });

  test('stays one where the matrix is no constant, or channels are no whole blocks', async () => {
    const window = { kernel: 3, stride: 1, padding: 1 };
    for (const options of [{ constant: false }, { channels: 6 }]) {
      const { y, x, weights, operators } = await compiled(window, options);
      expectClose(y.data, twin(x, weights, window), SUMS);
      expect([operators['Conv'], operators['Gemm']]).toEqual([undefined, 1]);
    }
  });

  test('stays one where the places of the window are not joined along the channels', async () => {
    const [places, weights] = [[0, 1, 2, 3], array([CHANNELS, OUTPUTS], 1)];
    const x = array([1, 5, 5, CHANNELS], 2);
    // four crops of all images, of the size that the map of a 2×2 window has
    const crops = (image: tf.Tensor4D): tf.Tensor2D => {
      const cuts = places.map((i) => tf.slice(image, [0, Math.floor(i / 2), i % 2, 0], [1, 4, 4, CHANNELS]));
      return tf.reshape(tf.concat(cuts, 0), [-1, CHANNELS]);
    };
    const one = await engine.compile(({ x: image, w }) => ({ y: tf.matMul(crops(image as tf.Tensor4D), w as tf.Tensor2D) }), {
      inputs: { x: { shape: x.shape, dtype: 'float32' } },
      constants: { w: weights },
    });
    const { y } = await one.run({ x });
    await one.dispose();
    const whole = twin(x, weights, { kernel: 1, stride: 1, padding: 0 });
    const expected = places.flatMap((i) =>
      Array.from({ length: 16 * OUTPUTS }, (_, k) => {
        const place = Math.floor(k / OUTPUTS);
        const [row, column] = [Math.floor(place / 4) + Math.floor(i / 2), (place % 4) + (i % 2)];
        return whole[(row * 5 + column) * OUTPUTS + (k % OUTPUTS)] as number;
      }),
    );
    expectClose((y as NdArray<'float32'>).data, expected, SUMS);
  });
});
