/** Functions of one number. */
import type { DType } from '@coda-nets/core';
import { kernel } from '../kernel.ts';
import { dtypeOf, filled, type Layouts, type TracedArray } from '../traced-array.ts';
import { blockedStep } from './blocked-elementwise.ts';
import { castArray, elementwise, formula, number } from './elementwise.ts';

type Unary = { x: TracedArray };

const onNumbers = [
  ['Abs', 'Abs'],
  ['Neg', 'Neg'],
  ['Relu', 'Relu'],
] as const;
for (const [kernelName, op] of onNumbers) {
  kernel<Unary>(
    kernelName,
    ({ x }, { layouts, refuse }) => {
      if (dtypeOf(x) === 'bool') throw refuse('arithmetic on truth values', { expected: 'float32 or int32' });
      return elementwise(layouts, op, [x], dtypeOf(x));
    },
    { blocked: true },
  );
}

/** 0 where x is NaN, as in TensorFlow.js; ONNX leaves it open. */
kernel<Unary>('Sign', ({ x }, { layouts, refuse }) => {
  const dtype = dtypeOf(x);
  if (dtype === 'bool') throw refuse('arithmetic on truth values', { expected: 'float32 or int32' });
  const sign = elementwise(layouts, 'Sign', [x], dtype);
  return dtype === 'float32' ? formula(layouts)('Where', isNumber(x, layouts), sign, 0) : sign;
});

/** Where x is not NaN. Runtimes on GPUs have no IsNaN, but Equal. */
const isNumber = (x: TracedArray, layouts: Layouts): TracedArray => formula(layouts)('Equal', x, x);

/** Whole numbers are their own floor. */
for (const kernelName of ['Ceil', 'Floor', 'Round']) {
  kernel<Unary>(kernelName, ({ x }, { layouts }) => (dtypeOf(x) === 'float32' ? elementwise(layouts, kernelName, [x], 'float32') : x));
}

/** TensorFlow.js rounds what it gets for whole numbers, each backend in its own way: refused. */
const onFloats = [
  'Acos',
  'Acosh',
  'Asin',
  'Asinh',
  'Atan',
  'Atanh',
  'Cos',
  'Cosh',
  'Elu',
  'Erf',
  'Exp',
  'Log',
  'Reciprocal',
  'Selu',
  'Sigmoid',
  'Sin',
  'Sinh',
  'Softplus',
  'Sqrt',
  'Tan',
  'Tanh',
] as const;
for (const kernelName of onFloats) floatKernel(kernelName, (x, f) => f(kernelName, x));

type Formula = ReturnType<typeof formula>;

function floatKernel(kernelName: string, recorder: (x: TracedArray, f: Formula) => TracedArray): void {
  kernel<Unary>(kernelName, ({ x }, { layouts, refuse }) => {
    if (dtypeOf(x) !== 'float32') throw refuse('a function of floats alone', { expected: 'float32' });
    return recorder(x, formula(layouts));
  });
}

floatKernel('Rsqrt', (x, f) => f('Reciprocal', f('Sqrt', x)));
/** log(1 + x) = 2 artanh(x / (2 + x)), which keeps its digits where x is small; ONNX has no Log1p. */
floatKernel('Log1p', (x, f) => {
  const small = f('Mul', f('Atanh', f('Div', x, f('Add', x, 2))), 2);
  return f('Where', isSmall(x, f), small, f('Log', f('Add', x, 1)));
});
/** eˣ − 1 = tanh(x/2) · (eˣ + 1), which keeps its digits where x is small; ONNX has no Expm1. */
floatKernel('Expm1', (x, f) => {
  const exp = f('Exp', x);
  const small = f('Mul', f('Tanh', f('Mul', x, 0.5)), f('Add', exp, 1));
  return f('Where', isSmall(x, f), small, f('Sub', exp, 1));
});

/** |x| < ½ */
const isSmall = (x: TracedArray, f: Formula): TracedArray => f('Less', f('Abs', x), 0.5);

kernel<Unary>('Identity', ({ x }) => x, { blocked: true });
kernel<Unary>('ZerosLike', ({ x }, { builder }) => filled(number(builder, 0, dtypeOf(x)).value, x.shape));
kernel<Unary>('OnesLike', ({ x }, { builder }) => filled(number(builder, 1, dtypeOf(x)).value, x.shape));
kernel<Unary>('Square', ({ x }, { layouts }) => elementwise(layouts, 'Mul', [x, x], dtypeOf(x)), { blocked: true });

kernel<Unary>('Relu6', ({ x }, { layouts, builder }) => {
  return elementwise(layouts, 'Min', [elementwise(layouts, 'Relu', [x], dtypeOf(x)), number(builder, 6, dtypeOf(x))], dtypeOf(x));
});

/** 1 where x > 0, NaN where x is, alpha elsewhere. Greater and Cast take half the time of Sign. */
kernel<Unary, { alpha: number }>(
  'Step',
  ({ x }, { attrs: { alpha }, layouts, builder, refuse }) => {
    const dtype = dtypeOf(x);
    const f = formula(layouts);
    const above = (): TracedArray => castArray(builder, elementwise(layouts, 'Greater', [x, number(builder, 0, dtype)], 'bool'), dtype);
    if (dtype !== 'float32') {
      if (alpha) throw refuse('a slope among whole numbers', { expected: 'float32' });
      return above();
    }
    const step = x.blocked === true ? blockedStep(layouts, x) : f('Where', isNumber(x, layouts), above(), x);
    return alpha ? f('Add', f('Mul', step, 1 - alpha), alpha) : step;
  },
  { blocked: true },
);

kernel<Unary, { dtype: DType }>('Cast', ({ x }, { attrs: { dtype }, builder, refuse }) => {
  if (!['float32', 'int32', 'bool'].includes(dtype)) throw refuse('a cast', { expected: 'to float32, int32 or bool', got: `to ${dtype}` });
  return dtype === dtypeOf(x) ? x : castArray(builder, x, dtype);
});
