/** What networks are made of: products, convolutions, pooling, normalisation, resizing. */
import { groupedConv2d } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { oneOf, operation, shapes, type Operation } from './operation.ts';

const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });

interface Window {
  readonly n: number;
  readonly size: readonly [number, number];
  readonly inC: number;
  readonly out: number;
  readonly filter: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly pad: 'same' | 'valid' | number;
  readonly rounding: 'floor' | 'ceil' | undefined;
}

/** Windows that fit into their image. */
const windows: fc.Arbitrary<Window> = fc
  .record<Window>({
    n: small(2),
    size: fc.tuple(small(7), small(7)),
    inC: small(3),
    out: small(3),
    filter: fc.tuple(small(3), small(3)),
    strides: fc.tuple(small(3), small(3)),
    pad: oneOf<Window['pad']>('same' as const, 'valid' as const, 1),
    rounding: oneOf('floor' as const, 'ceil' as const, undefined),
  })
  .filter(({ size, filter, pad }) => pad === 'same' || size.every((d) => d >= Math.max(...filter)))
  .map((w) => {
    if (typeof w.pad !== 'number') return { ...w, rounding: undefined };
    // TensorFlow.js takes the height for the width there
    return {
      ...w,
      filter: [w.filter[0], w.filter[0]] as const,
      strides: [w.strides[0], w.strides[0]] as const,
      rounding: w.rounding ?? 'floor',
    };
  });

/** TensorFlow.js has no gradient for sizes that are rounded up. */
const hasGradient = ({ rounding }: Window): boolean => rounding !== 'ceil';
const image = ({ n, size, inC }: Window): number[] => [n, ...size, inC];
const strides = (w: Window): [number, number] => [...w.strides];
/** The layout in which TensorFlow.js has all of an operation: NHWC; NCHW is tried for plain convolutions. */
const toNchw = (x: tf.Tensor4D): tf.Tensor4D => tf.transpose(x, [0, 3, 1, 2]);

const activations = ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'] as const;

const volumes = fc
  .record({
    n: small(2),
    size: fc.tuple(small(4), small(4), small(4)),
    inC: small(2),
    out: small(2),
    filter: fc.tuple(small(2), small(2), small(2)),
    strides: small(2),
    pad: oneOf('same' as const, 'valid' as const),
  })
  // where the stride is more than the window, TensorFlow.js leaves out the beginning: refused
  .filter(
    ({ size, filter, pad, strides: s }) =>
      size.every((d, i) => d >= (filter[i] as number)) && (pad === 'valid' || filter.every((f) => f >= s)),
  );

const matrices = fc.record({
  batch: shapes(0, 2, 3),
  shared: fc.boolean(),
  rows: small(4),
  inner: small(4),
  columns: small(4),
  ta: fc.boolean(),
  tb: fc.boolean(),
});
const matrix = (rows: number, columns: number, transposed: boolean): number[] => (transposed ? [columns, rows] : [rows, columns]);

/** Cut into parts of equal size: every pair of positions of a grid counts as often as the other. */
const sizes = fc.record({
  n: small(2),
  from: fc.tuple(small(5), small(5)),
  to: fc.tuple(small(7), small(7)),
  c: small(3),
  flag: oneOf('none' as const, 'alignCorners' as const, 'halfPixelCenters' as const),
});

const equations = [
  'ij,jk->ik',
  'bij,bjk->bik',
  'bij,bkj->bki',
  'i,j->ji',
  'ij->ji',
  'ijk->ik',
  'bhqd,bhkd->bhqk',
  'ij,ij->',
  'abc,c->ab',
] as const;

/** Whether each window has an element: there is no mean of none. */
function isInside({ size, filter, strides: s, pad, rounding }: Window): boolean {
  if (typeof pad !== 'number') return true;
  return size.every((d, i) => {
    const [window, step] = [filter[i] as number, s[i] as number];
    const last = (rounding === 'ceil' ? Math.ceil : Math.floor)((d - window + 2 * pad) / step) * step;
    return window > pad && last - pad < d;
  });
}

export const networkOperations: readonly Operation[] = [
  operation(
    'matMul',
    matrices,
    ({ batch, shared, rows, inner, columns, ta, tb }) => ({
      a: { shape: [...batch, ...matrix(rows, inner, ta)] },
      b: { shape: [...(shared ? batch.map(() => 1) : batch), ...matrix(inner, columns, tb)] },
    }),
    ({ a, b }, { ta, tb }) => tf.matMul(a, b, ta, tb),
    ({ shared, batch }) => !shared || batch.length === 0,
  ),
  operation(
    'fused matMul',
    fc.record({ m: matrices, activation: oneOf(...activations), biased: fc.boolean() }),
    ({ m }) => ({
      a: { shape: matrix(m.rows, m.inner, m.ta) },
      b: { shape: matrix(m.inner, m.columns, m.tb) },
      bias: { shape: [m.columns] },
      slopes: { shape: [m.columns] },
    }),
    ({ a, b, bias, slopes }, { m, activation, biased }) =>
      tf.fused.matMul({
        a,
        b,
        transposeA: m.ta,
        transposeB: m.tb,
        bias: biased ? bias : undefined,
        activation,
        preluActivationWeights: slopes,
        leakyreluAlpha: 0.2,
      } as never),
    ({ activation, biased }) => biased && activation === 'prelu',
  ),
  operation(
    'einsum',
    fc.record({ equation: oneOf(...equations), sizes: fc.array(small(3), { minLength: 26, maxLength: 26 }) }),
    ({ equation, sizes: of }) => {
      const [a, b] = (equation.split('->')[0] as string)
        .split(',')
        .map((names) => Array.from(names, (name) => of[name.charCodeAt(0) - 97] as number));
      return { a: { shape: a as number[] }, b: { shape: b ?? [] } };
    },
    ({ a, b }, { equation }) => tf.einsum(equation, ...(equation.includes(',') ? [a, b] : [a])),
    false,
  ),
  operation(
    'conv2d',
    windows,
    (w) => ({ x: { shape: image(w) }, f: { shape: [...w.filter, w.inC, w.out] } }),
    ({ x, f }, w) => tf.conv2d(x, f, strides(w), w.pad, 'NHWC', 1, w.rounding),
    hasGradient,
  ),
  operation(
    'conv2d in NCHW',
    windows,
    (w) => ({ x: { shape: image(w) }, f: { shape: [...w.filter, w.inC, w.out] } }),
    ({ x, f }, w) => tf.conv2d(toNchw(x), f, strides(w), w.pad, 'NCHW', 1, w.rounding),
    false,
  ),
  operation(
    'groupedConv2d',
    fc
      .record({ w: windows, groups: oneOf(2, 3), pad: oneOf(0, 1) })
      .filter(({ w, pad }) => w.size.every((d) => d + 2 * pad >= w.filter[0])),
    ({ w, groups }) => ({
      x: { shape: [w.n, ...w.size, w.inC * groups] },
      f: { shape: [w.filter[0], w.filter[0], w.inC, w.out * groups] },
    }),
    ({ x, f }, { w, groups, pad }) => groupedConv2d(x, f, { groups, strides: w.strides[0], pad }),
  ),
  operation(
    'conv2d, dilated',
    fc.record({ w: windows, dilations: fc.tuple(small(2), small(2)) }),
    ({ w }) => ({ x: { shape: [w.n, w.size[0] + 3, w.size[1] + 3, w.inC] }, f: { shape: [...w.filter, w.inC, w.out] } }),
    ({ x, f }, { w, dilations }) => tf.conv2d(x, f, 1, typeof w.pad === 'number' ? 'same' : w.pad, 'NHWC', [...dilations]),
    ({ dilations }) => dilations.every((d) => d === 1),
  ),
  // as many channels, images and positions as lie in blocks where the runtime has them
  operation(
    'conv2d of blocks, dilated or with strides',
    fc.record({
      size: fc.tuple(fc.integer({ min: 6, max: 8 }), fc.integer({ min: 6, max: 8 })),
      filter: fc.tuple(small(3), small(3)),
      dilations: fc.tuple(small(2), small(2)),
      strided: fc.boolean(),
      pad: oneOf('same' as const, 'valid' as const),
      inC: oneOf(3, 16),
    }),
    ({ size, filter, inC }) => ({
      x: { shape: [32, ...size, inC], from: -0.5, to: 0.5 },
      f: { shape: [...filter, inC, 16], from: -0.5, to: 0.5 },
    }),
    ({ x, f }, { dilations, strided, pad }) => tf.relu(tf.conv2d(x, f, strided ? 2 : 1, pad, 'NHWC', strided ? 1 : [...dilations])),
    // TensorFlow.js has no gradient of dilated ones
    ({ dilations, strided }) => strided || dilations.every((d) => d === 1),
  ),
  operation(
    'conv2dTranspose',
    windows,
    (w) => ({ x: { shape: image(w) }, f: { shape: [...w.filter, w.out, w.inC] } }),
    ({ x, f }, w) => {
      const spread = w.size.map((d, i) => {
        const [s, k] = [w.strides[i] as number, w.filter[i] as number];
        return w.pad === 'same' ? d * s : (d - 1) * s + k;
      }) as [number, number];
      return tf.conv2dTranspose(x, f, [w.n, ...spread, w.out], strides(w), w.pad === 'same' ? 'same' : 'valid');
    },
  ),
  operation(
    'fused conv2d',
    fc.record({ w: windows, activation: oneOf(...activations) }),
    ({ w }) => ({
      x: { shape: image(w) },
      f: { shape: [...w.filter, w.inC, w.out] },
      bias: { shape: [w.out] },
      slopes: { shape: [w.out] },
    }),
    ({ x, f, bias, slopes }, { w, activation }) =>
      tf.fused.conv2d({
        x,
        filter: f,
        strides: strides(w),
        pad: w.pad,
        dimRoundingMode: w.rounding,
        bias,
        activation,
        preluActivationWeights: slopes,
        leakyreluAlpha: 0.2,
      } as never),
    false,
  ),
  operation(
    'depthwiseConv2d',
    windows,
    (w) => ({ x: { shape: image(w) }, f: { shape: [...w.filter, w.inC, w.out] } }),
    ({ x, f }, w) => tf.depthwiseConv2d(x, f, [w.strides[0], w.strides[0]], w.pad, 'NHWC', 1, w.rounding),
    hasGradient,
  ),
  operation(
    'depthwiseConv2d, dilated',
    windows,
    (w) => ({ x: { shape: [w.n, w.size[0] + 3, w.size[1] + 3, w.inC] }, f: { shape: [...w.filter, w.inC, w.out] } }),
    ({ x, f }, w) => tf.depthwiseConv2d(x, f, 1, w.pad === 'valid' ? 'valid' : 'same', 'NHWC', 2),
    false,
  ),
  operation(
    'fused depthwiseConv2d',
    fc.record({ w: windows, activation: oneOf(...activations) }),
    ({ w }) => ({
      x: { shape: image(w) },
      f: { shape: [...w.filter, w.inC, w.out] },
      bias: { shape: [w.inC * w.out] },
      slopes: { shape: [w.inC * w.out] },
    }),
    ({ x, f, bias, slopes }, { w, activation }) =>
      tf.fused.depthwiseConv2d({
        x,
        filter: f,
        strides: [w.strides[0], w.strides[0]],
        pad: w.pad,
        dimRoundingMode: w.rounding,
        bias,
        activation,
        preluActivationWeights: slopes,
        leakyreluAlpha: 0.2,
      } as never),
    false,
  ),
  operation(
    'separableConv2d',
    windows,
    (w) => ({ x: { shape: image(w) }, depthwise: { shape: [...w.filter, w.inC, 2] }, pointwise: { shape: [1, 1, w.inC * 2, w.out] } }),
    ({ x, depthwise, pointwise }, w) =>
      tf.separableConv2d(x, depthwise, pointwise, [w.strides[0], w.strides[0]], w.pad === 'same' ? 'same' : 'valid'),
  ),
  operation(
    'conv3d',
    volumes,
    ({ n, size, inC, out, filter }) => ({ x: { shape: [n, ...size, inC] }, f: { shape: [...filter, inC, out] } }),
    ({ x, f }, w) => tf.conv3d(x, f, w.strides, w.pad),
  ),
  operation(
    'conv3dTranspose',
    volumes,
    ({ n, size, inC, out, filter }) => ({ x: { shape: [n, ...size, inC] }, f: { shape: [...filter, out, inC] } }),
    ({ x, f }, { n, size, out, filter, strides: s, pad }) =>
      tf.conv3dTranspose(
        x,
        f,
        [n, ...(size.map((d, i) => (pad === 'same' ? d * s : (d - 1) * s + (filter[i] as number))) as [number, number, number]), out],
        s,
        pad,
      ),
    false,
  ),
  operation(
    'dilation2d',
    windows,
    (w) => ({ x: { shape: image(w) }, f: { shape: [...w.filter, w.inC] } }),
    ({ x, f }, w) => tf.dilation2d(x, f, strides(w), w.pad === 'same' ? 'same' : 'valid'),
    false,
  ),
  operation(
    'avgPool',
    windows.filter(isInside),
    (w) => ({ x: { shape: image(w) } }),
    ({ x }, w) => tf.avgPool(x, [...w.filter], strides(w), w.pad, w.rounding),
    // where TensorFlow.js divides by as many elements as there are
    ({ pad }) => pad === 'valid',
  ),
  operation(
    'maxPool',
    windows.filter(isInside),
    (w) => ({ x: { shape: image(w) } }),
    ({ x }, w) => tf.maxPool(x, [...w.filter], strides(w), w.pad, w.rounding),
    // TensorFlow.js forgets the rounding mode on the way back
    hasGradient,
  ),
  operation(
    'avgPool3d',
    volumes,
    ({ n, size, inC }) => ({ x: { shape: [n, ...size, inC] } }),
    ({ x }, w) => tf.avgPool3d(x, [...w.filter], w.strides, w.pad),
    ({ pad }) => pad === 'valid',
  ),
  operation(
    'pool with dilations',
    windows.filter(({ pad }) => typeof pad !== 'number'),
    (w) => ({ x: { shape: [w.n, w.size[0] + 4, w.size[1] + 4, w.inC] } }),
    ({ x }, w) => tf.pool(x, [...w.filter], 'avg', w.pad as 'valid', 2, 1),
    false,
  ),
  operation(
    'batchNorm',
    fc.record({ shape: shapes(2, 4), scaled: fc.boolean(), shifted: fc.boolean(), convolved: fc.boolean() }),
    ({ shape }) => {
      const c = [shape.at(-1) as number];
      return { x: { shape }, mean: { shape: c }, variance: { shape: c, from: 0.2 }, scale: { shape: c }, offset: { shape: c } };
    },
    ({ x, mean, variance, scale, offset }, { shape, scaled, shifted, convolved }) => {
      const c = shape.at(-1) as number;
      const source = convolved && shape.length === 4 ? tf.conv2d(x, tf.ones([1, 1, c, c]), 1, 'same') : x;
      return tf.batchNorm(source, mean, variance, shifted ? offset : undefined, scaled ? scale : undefined, 0.01);
    },
    ({ scaled, shifted }) => scaled && shifted,
  ),
  operation(
    'localResponseNormalization',
    fc.record({ shape: shapes(4, 4), radius: small(3), alpha: oneOf(1, 0.3), beta: oneOf(0.5, 0.75) }),
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { radius, alpha, beta }) => tf.localResponseNormalization(x, radius, 1, alpha, beta),
  ),
  operation(
    'resizeBilinear',
    sizes,
    ({ n, from, c }) => ({ x: { shape: [n, ...from, c] } }),
    ({ x }, { to, flag }) => tf.image.resizeBilinear(x, [...to], flag === 'alignCorners', flag === 'halfPixelCenters'),
    // TensorFlow.js swaps height and width there, and ignores halfPixelCenters
    ({ from, flag }) => from[0] === from[1] && flag !== 'halfPixelCenters',
  ),
  operation(
    'resizeNearestNeighbor',
    fc.record({ s: sizes, dtype: oneOf('float32' as const, 'int32' as const) }),
    ({ s: { n, from, c }, dtype }) => ({ x: { shape: [n, ...from, c], dtype } }),
    ({ x }, { s: { to, flag } }) =>
      tf.cast(tf.image.resizeNearestNeighbor(x, [...to], flag === 'alignCorners', flag === 'halfPixelCenters'), 'float32'),
    // TensorFlow.js finds the second image of dy where that of x begins, ignores halfPixelCenters, and searches forever for one aligned element
    ({ s: { n, from, flag }, dtype }) =>
      n === 1 && dtype === 'float32' && (flag === 'none' || (flag === 'alignCorners' && Math.min(...from) > 1)),
  ),
  operation(
    'attention',
    fc.record({ n: small(2), heads: small(2), length: small(4), depth: small(3) }),
    ({ n, heads, length, depth }) => ({
      q: { shape: [n, length, heads, depth] },
      k: { shape: [n, length, heads, depth] },
      v: { shape: [n, length, heads, depth] },
    }),
    ({ q, k, v }, { depth }) => {
      const [qh, kh, vh] = [q, k, v].map((x) => tf.transpose(x as tf.Tensor4D, [0, 2, 1, 3])) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      return tf.transpose(tf.matMul(tf.softmax(tf.div(tf.matMul(qh, kh, false, true), Math.sqrt(depth))), vh), [0, 2, 1, 3]);
    },
  ),
];
