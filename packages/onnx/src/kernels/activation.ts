/** Activations that are more than one operator, and those that fused kernels end with. */
import { kernel, type KernelContext } from '../kernel.ts';
import { dtypeOf, type Layouts, type TracedArray } from '../traced-array.ts';
import { castArray, elementwise, formula, number } from './elementwise.ts';

type Unary = { x: TracedArray };

function leakyRelu(x: TracedArray, alpha: number, layouts: Layouts): TracedArray {
  return elementwise(layouts, 'LeakyRelu', [x], 'float32', { alpha: { float: alpha } });
}

/** x where it is not negative, α·x where it is; α is broadcast. */
function prelu(x: TracedArray, alpha: TracedArray, layouts: Layouts): TracedArray {
  const f = formula(layouts);
  return f('Where', f('Less', x, 0), f('Mul', alpha, x), x);
}

kernel<Unary, { alpha: number }>('LeakyRelu', ({ x }, { attrs, layouts, builder }) => {
  return leakyRelu(castArray(builder, x, 'float32'), attrs.alpha, layouts);
});

kernel<{ x: TracedArray; alpha: TracedArray }>('Prelu', ({ x, alpha }, { layouts, builder }) => {
  return prelu(castArray(builder, x, 'float32'), castArray(builder, alpha, 'float32'), layouts);
});

/** Of the result y of an ELU: 1 where y ≥ 0, y + 1 = eˣ elsewhere. */
kernel<{ dy: TracedArray; y: TracedArray }>('EluGrad', ({ dy, y }, { layouts }) => {
  const f = formula(layouts);
  return f('Mul', dy, f('Add', f('Min', y, 0), 1));
});

kernel<Unary, { clipValueMin: number; clipValueMax: number }>('ClipByValue', ({ x }, { attrs, builder, refuse }) => {
  const dtype = dtypeOf(x);
  if (dtype === 'bool') throw refuse('arithmetic on truth values', { expected: 'float32 or int32' });
  const { clipValueMin, clipValueMax } = attrs;
  if (dtype === 'int32' && !(Number.isInteger(clipValueMin) && Number.isInteger(clipValueMax))) {
    throw refuse('a bound that is no whole number', { got: `${clipValueMin} and ${clipValueMax}` });
  }
  const representable = (limit: number): number => (dtype === 'int32' ? Math.min(Math.max(limit, -(2 ** 31)), 2 ** 31 - 1) : limit);
  const bounds = [clipValueMin, clipValueMax].map((limit) => number(builder, representable(limit), dtype).value);
  return { ...x, value: builder.emit('Clip', [x.value, ...bounds], dtype, x.value.shape) };
});

export interface ActivationAttrs {
  readonly activation?: string;
  readonly leakyreluAlpha?: number;
}

const operators: Readonly<Record<string, string>> = { relu: 'Relu', elu: 'Elu', sigmoid: 'Sigmoid' };

/** What a fused kernel does to its result y at last. */
export function activated(y: TracedArray, weights: TracedArray | undefined, { attrs, layouts, refuse }: KernelContext<ActivationAttrs>) {
  const { activation = 'linear', leakyreluAlpha = 0 } = attrs;
  const f = formula(layouts);
  if (activation === 'linear') return y;
  if (dtypeOf(y) !== 'float32') throw refuse(`the activation ${activation} of whole numbers`, { expected: 'float32' });
  if (activation === 'relu6') return f('Min', f('Relu', y), 6);
  if (activation === 'leakyrelu') return leakyRelu(y, leakyreluAlpha, layouts);
  if (activation === 'prelu' && weights !== undefined) return prelu(y, weights, layouts);
  const op = Object.hasOwn(operators, activation) ? operators[activation] : undefined;
  if (op !== undefined) return f(op, y);
  throw refuse('an activation', { expected: `linear, relu6, leakyrelu, prelu, ${Object.keys(operators).join(', ')}`, got: activation });
}
