/** Functions of one number and of two, comparisons, activations, selection. */
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { broadcastPair, oneOf, operation, shapes, type Operation } from './operation.ts';

type Unary = (x: tf.Tensor) => tf.Tensor;
type Binary = (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;

/** With the range in which it is smooth. */
const unary: readonly (readonly [string, Unary, number, number])[] = [
  ['abs', tf.abs, -2, 2],
  ['acos', tf.acos, -0.9, 0.9],
  ['acosh', tf.acosh, 1.2, 4],
  ['asin', tf.asin, -0.9, 0.9],
  ['asinh', tf.asinh, -2, 2],
  ['atan', tf.atan, -2, 2],
  ['atanh', tf.atanh, -0.9, 0.9],
  ['ceil', tf.ceil, -3, 3],
  ['cos', tf.cos, -3, 3],
  ['cosh', tf.cosh, -2, 2],
  ['elu', tf.elu, -2, 2],
  ['erf', tf.erf, -2, 2],
  ['exp', tf.exp, -2, 2],
  ['expm1', tf.expm1, -2, 2],
  ['floor', tf.floor, -3, 3],
  ['isFinite', (x) => tf.isFinite(tf.div(1, tf.relu(x))), -2, 2],
  ['isInf', (x) => tf.isInf(tf.div(1, tf.relu(x))), -2, 2],
  ['isNaN', (x) => tf.isNaN(tf.div(tf.relu(x), tf.relu(x))), -2, 2],
  ['log', tf.log, 0.1, 3],
  ['log1p', tf.log1p, -0.4, 3],
  ['logSigmoid', tf.logSigmoid, -2, 2],
  ['neg', tf.neg, -2, 2],
  ['reciprocal', tf.reciprocal, 0.4, 3],
  ['relu', tf.relu, -2, 2],
  ['relu6', (x) => tf.relu6(x), -3, 9],
  ['round', tf.round, -3, 3],
  ['rsqrt', tf.rsqrt, 0.1, 3],
  ['selu', tf.selu, -2, 2],
  ['sigmoid', tf.sigmoid, -3, 3],
  ['sign', tf.sign, -2, 2],
  ['sin', tf.sin, -3, 3],
  ['sinh', tf.sinh, -2, 2],
  ['softplus', tf.softplus, -3, 3],
  ['sqrt', tf.sqrt, 0.1, 3],
  ['square', tf.square, -2, 2],
  ['tan', tf.tan, -1, 1],
  ['tanh', tf.tanh, -2, 2],
  ['zerosLike', (x) => tf.add(tf.zerosLike(x), tf.onesLike(x)), -2, 2],
  ['gelu', (x) => tf.mul(tf.mul(x, 0.5), tf.add(1, tf.erf(tf.mul(x, Math.SQRT1_2)))), -2, 2],
  ['mish', (x) => tf.mul(x, tf.tanh(tf.softplus(x))), -2, 2],
];
/** Truth values have no gradient; that of logSigmoid reads a tensor that TensorFlow.js has disposed of. */
const constant = new Set(['isFinite', 'isInf', 'isNaN', 'logSigmoid']);

const unaries = unary.map(([name, fn, from, to]) =>
  operation(
    name,
    fc.record({ shape: shapes(0, 4) }),
    ({ shape }) => ({ x: { shape, from, to } }),
    ({ x }) => fn(x as tf.Tensor),
    !constant.has(name),
  ),
);

/** Apart from each other, so that their order is the same in any arithmetic. */
const arithmetic: readonly (readonly [string, Binary, number, number])[] = [
  ['add', tf.add, -2, 2],
  ['sub', tf.sub, -2, 2],
  ['mul', tf.mul, -2, 2],
  ['div', tf.div, 0.4, 2],
  ['divNoNan', tf.divNoNan, 0.4, 2],
  ['pow', tf.pow, 0.4, 2],
  ['maximum', tf.maximum, -2, 2],
  ['minimum', tf.minimum, -2, 2],
  ['squaredDifference', tf.squaredDifference, -2, 2],
  ['mod', tf.mod, 0.4, 3],
  ['atan2', tf.atan2, -2, 2],
  ['prelu', tf.prelu, -2, 2],
];
/** TensorFlow.js does not sum these gradients over broadcast axes. */
const sameShapes = new Set(['maximum', 'minimum', 'squaredDifference', 'mod', 'prelu']);

const binaries = arithmetic.map(([name, fn, from, to]) =>
  operation(
    name,
    broadcastPair,
    ({ a, b }) => ({ a: { shape: a, from, to }, b: { shape: b, from, to } }),
    ({ a, b }) => fn(a as tf.Tensor, b as tf.Tensor),
    ({ a, b }) => name !== 'divNoNan' && (!sameShapes.has(name) || a.join() === b.join()),
  ),
);
const signedMod = operation(
  'mod of either sign',
  broadcastPair,
  ({ a, b }) => ({ a: { shape: a, from: -3, to: 3 }, b: { shape: b } }),
  ({ a, b }) => tf.mod(a as tf.Tensor, b as tf.Tensor),
  false,
);

const whole: readonly (readonly [string, Binary])[] = [
  ['add', tf.add],
  ['sub', tf.sub],
  ['mul', tf.mul],
  ['div', tf.div],
  ['floorDiv', tf.floorDiv],
  ['mod', tf.mod],
  ['maximum', tf.maximum],
  ['minimum', tf.minimum],
  ['squaredDifference', tf.squaredDifference],
  ['pow', (a, b) => tf.pow(a, tf.abs(b))],
];
const wholes = whole.map(([name, fn]) =>
  operation(
    `${name} of whole numbers`,
    broadcastPair,
    ({ a, b }) => ({ a: { shape: a, dtype: 'int32' }, b: { shape: b, dtype: 'int32' } }),
    ({ a, b }) => fn(a as tf.Tensor, b as tf.Tensor),
    false,
  ),
);

const comparison: readonly (readonly [string, Binary])[] = [
  ['greater', tf.greater],
  ['greaterEqual', tf.greaterEqual],
  ['less', tf.less],
  ['lessEqual', tf.lessEqual],
  ['equal', tf.equal],
  ['notEqual', tf.notEqual],
];
const comparisons = comparison.map(([name, fn]) =>
  operation(
    name,
    fc.record({ pair: broadcastPair, dtype: oneOf('float32' as const, 'int32' as const, 'bool' as const) }),
    ({ pair, dtype }) => ({ a: { shape: pair.a, dtype }, b: { shape: pair.b, dtype } }),
    ({ a, b }) => fn(a as tf.Tensor, b as tf.Tensor),
    false,
  ),
);

export const elementwiseOperations: readonly Operation[] = [
  ...unaries,
  ...binaries,
  signedMod,
  ...wholes,
  ...comparisons,
  operation(
    'logical',
    broadcastPair,
    ({ a, b }) => ({ a: { shape: a, dtype: 'bool' }, b: { shape: b, dtype: 'bool' } }),
    ({ a, b }) => [tf.logicalAnd(a, b), tf.logicalOr(a, b), tf.logicalXor(a, b), tf.logicalNot(a)],
    false,
  ),
  operation(
    'unary of whole numbers',
    fc.record({ shape: shapes(0, 4) }),
    ({ shape }) => ({ x: { shape, dtype: 'int32' } }),
    ({ x }) => [tf.abs(x), tf.neg(x), tf.sign(x), tf.relu(x), tf.square(x), tf.round(x), tf.clipByValue(x, -1, 2), tf.step(x), tf.relu6(x)],
    false,
  ),
  operation(
    'floorDiv of floats',
    broadcastPair,
    ({ a, b }) => ({ a: { shape: a, from: -9, to: 9 }, b: { shape: b, from: 0.7, to: 2 } }),
    ({ a, b }) => tf.floorDiv(a, b),
    false,
  ),
  operation(
    'leakyRelu, step, clip',
    fc.record({ shape: shapes(0, 4), alpha: oneOf(0, 0.2, 0.5) }),
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { alpha }) => [tf.leakyRelu(x, alpha), tf.step(x, alpha), tf.clipByValue(x, -1, alpha)],
  ),
  operation(
    'cast',
    fc.record({
      shape: shapes(0, 4),
      from: oneOf('float32' as const, 'int32' as const, 'bool' as const),
      to: oneOf('float32' as const, 'int32' as const, 'bool' as const),
    }),
    ({ shape, from }) => ({ x: { shape, dtype: from } }),
    ({ x }, { to }) => tf.cast(x, to),
    false,
  ),
  operation(
    'where',
    fc.record({ shape: shapes(1, 4), short: fc.boolean() }),
    ({ shape, short }) => ({ c: { shape: short ? shape.slice(-1) : shape, dtype: 'bool' }, a: { shape }, b: { shape } }),
    ({ c, a, b }) => tf.where(c, a, b),
  ),
  operation(
    'where of whole numbers and truth values',
    fc.record({ shape: shapes(1, 4), dtype: oneOf('int32' as const, 'bool' as const) }),
    ({ shape, dtype }) => ({ c: { shape, dtype: 'bool' }, a: { shape, dtype }, b: { shape, dtype } }),
    ({ c, a, b }) => tf.where(c, a, b),
    false,
  ),
  operation(
    'addN',
    fc.record({ shape: shapes(0, 4), count: fc.integer({ min: 1, max: 4 }), dtype: oneOf('float32' as const, 'int32' as const) }),
    ({ shape, dtype }) => ({ a: { shape, dtype }, b: { shape, dtype }, c: { shape, dtype } }),
    ({ a, b, c }, { count }) => tf.addN([a, b, c, a].slice(0, count)),
    ({ dtype, count }) => dtype === 'float32' && count > 2,
  ),
];
