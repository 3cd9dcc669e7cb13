/**
 * Convolution in groups of channels, which TensorFlow.js does not have. Source: arXiv 1611.05431 section 3 (cardinality), figure 3c.
 *
 *     y[n, p, q, o] = Σ_{i, j, c} x[n, p·s + i − b, q·s + j − b, g·C/G + c] · k[i, j, c, o]        g = ⌊o·G/D⌋
 *
 * x [N, H, W, C], k [k, k, C/G, D], y [N, H', W', D]; G groups, stride s, b zeros around the image. Trilinear in x, k and the cotangent of y: each gradient is one of the
 * three functions here. A backend with kernels of these names (the one that records graphs) runs one kernel for all groups, and gradients of gradients too;
 * on every other, each group is a convolution of its own.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions } from './check-argument.ts';
import { CodaError } from './errors.ts';
import { shown } from './shown.ts';
import './tfjs.ts';

/** The kernels a backend may have; their attributes are `GroupedConvAttrs`. Not kernels of TensorFlow.js. */
export const groupedConvKernels = {
  /** inputs x, filter → y */
  forward: 'GroupedConv2D',
  /** inputs dy, filter; attribute `inputShape` → dx */
  input: 'GroupedConv2DBackpropInput',
  /** inputs x, dy; attribute `filterShape` → dk */
  filter: 'GroupedConv2DBackpropFilter',
} as const;

export interface GroupedConvAttrs {
  readonly groups: number;
  readonly strides: number;
  /** Zeros on each of the four sides. */
  readonly pad: number;
}

/**
 * `strides` is by default 1, `pad` 0. Output channel o belongs to group ⌊o·groups/D⌋, as in PyTorch. Throws a CodaError where x and filter are no
 * images and square kernels, their channels do not go into `groups` equal parts, or an option is no such number.
 */
export function groupedConv2d(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  options: Partial<GroupedConvAttrs> & Pick<GroupedConvAttrs, 'groups'>,
): tf.Tensor4D {
  checkOptions('groupedConv2d', options, ['groups', 'strides', 'pad']);
  const { groups, strides = 1, pad = 0 } = options;
  checkShapes(x.shape, filter.shape, groups);
  checkWhole('strides', strides, 1);
  checkWhole('pad', pad, 0);
  if (groups === 1) return tf.conv2d(x, filter, strides, pad);
  const attrs = { groups, strides, pad };
  if (tf.getKernel(groupedConvKernels.forward, tf.getBackend()) !== undefined) return forward(x, filter, attrs);
  const parts = tf.split<tf.Tensor4D>(x, groups, 3);
  const filters = tf.split<tf.Tensor4D>(filter, groups, 3);
  return tf.concat4d(
    parts.map((part, g) => tf.conv2d(part, filters[g] as tf.Tensor4D, strides, pad)),
    3,
  );
}

type Shape4D = [number, number, number, number];

function forward(x: tf.Tensor4D, filter: tf.Tensor4D, attrs: GroupedConvAttrs): tf.Tensor4D {
  return trilinear(groupedConvKernels.forward, [x, filter], ['x', 'filter'], attrs, (dy, [a, k]) => [
    inputGradient(dy, k, a.shape, attrs),
    filterGradient(a, dy, k.shape, attrs),
  ]);
}

function inputGradient(dy: tf.Tensor4D, filter: tf.Tensor4D, inputShape: Shape4D, attrs: GroupedConvAttrs): tf.Tensor4D {
  return trilinear(groupedConvKernels.input, [dy, filter], ['dy', 'filter'], { ...attrs, inputShape }, (ddx, [d, k]) => [
    forward(ddx, k, attrs),
    filterGradient(ddx, d, k.shape, attrs),
  ]);
}

function filterGradient(x: tf.Tensor4D, dy: tf.Tensor4D, filterShape: Shape4D, attrs: GroupedConvAttrs): tf.Tensor4D {
  return trilinear(groupedConvKernels.filter, [x, dy], ['x', 'dy'], { ...attrs, filterShape }, (ddk, [a, d]) => [
    inputGradient(d, ddk, a.shape, attrs),
    forward(a, ddk, attrs),
  ]);
}

type Pair = readonly [tf.Tensor4D, tf.Tensor4D];

/** One kernel of two inputs, and the gradients by both. */
function trilinear(
  kernelName: string,
  inputs: Pair,
  [first, second]: readonly [string, string],
  attrs: object,
  gradients: (cotangent: tf.Tensor4D, inputs: Pair) => Pair,
): tf.Tensor4D {
  const op = tf.customGrad((...args) => {
    const [a, b, save] = args as unknown as [tf.Tensor4D, tf.Tensor4D, tf.GradSaveFunc];
    save([a, b]);
    return {
      value: tf.engine().runKernel(kernelName, { [first]: a, [second]: b }, { ...attrs }) as tf.Tensor4D,
      gradFunc: (cotangent: tf.Tensor, saved: tf.Tensor[]) => [...gradients(cotangent as tf.Tensor4D, saved as unknown as Pair)],
    };
  });
  return op(...inputs) as tf.Tensor4D;
}

function checkShapes(x: readonly number[], filter: readonly number[], groups: number): void {
  const [channels, inputs, outputs] = [x[3] as number, filter[2] as number, filter[3] as number];
  const whole = Number.isInteger(groups) && groups >= 1 && filter[0] === filter[1];
  if (x.length === 4 && filter.length === 4 && whole && inputs * groups === channels && outputs % groups === 0) return;
  throw new CodaError({
    kind: 'argument',
    where: 'groupedConv2d',
    problem: `the channels do not go into ${groups} equal groups`,
    expected: 'x [N, H, W, C], filter [k, k, C / groups, D] with D a multiple of groups',
    got: `x [${x.join(', ')}], filter [${filter.join(', ')}]`,
  });
}

function checkWhole(option: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new CodaError({
    kind: 'argument',
    where: `groupedConv2d: ${option}`,
    problem: 'not a whole number',
    expected: `at least ${least}`,
    got: shown(value),
  });
}
