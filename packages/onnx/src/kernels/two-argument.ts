/** Functions of two numbers that ONNX has no operator for: floor division, modulus, the angle of a point. */
import type { DType } from '@coda-nets/core';
import { int } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { dtypeOf, filled, type Layouts, type TracedArray } from '../traced-array.ts';
import { castArray, elementwise, formula, number, type Binary } from './elementwise.ts';

/**
 * Whole numbers are divided as 64-bit floats, as JavaScript divides them: that is exact for 32 bits, and a division by zero, which ends the process in
 * ONNX Runtime's integer kernels, gives 0 as it does in an Int32Array.
 */
function divided({ a, b }: Binary, layouts: Layouts, divide: (a: TracedArray, b: TracedArray, dtype: DType) => TracedArray): TracedArray {
  const { builder } = layouts;
  if (dtypeOf(a) === 'float32') return divide(a, b, 'float32');
  const quotient = divide(castArray(builder, a, 'float64'), castArray(builder, b, 'float64'), 'float64');
  const zero = number(builder, 0, 'int32');
  const impossible = elementwise(layouts, 'Equal', [b, zero], 'bool');
  return castArray(builder, elementwise(layouts, 'Where', [impossible, double(builder, 0), quotient], 'float64'), 'int32');
}

const double = (builder: GraphBuilder, x: number): TracedArray => filled(builder.cast(builder.scalar(x), 'float64'), []);

kernel<Binary>('FloorDiv', (operands, { layouts, builder }) => {
  const quotient = divided(operands, layouts, (a, b, dtype) =>
    elementwise(layouts, 'Floor', [elementwise(layouts, 'Div', [a, b], dtype)], dtype),
  );
  return castArray(builder, quotient, 'int32');
});

/** JavaScript's remainder r of a/b where a and b have one sign, the remainder of (r + b)/b elsewhere: the result has the sign of b. */
kernel<Binary>('Mod', (operands, { layouts, builder }) => {
  return divided(operands, layouts, (a, b, dtype) => {
    const remainder = (x: TracedArray, y: TracedArray) => elementwise(layouts, 'Mod', [x, y], dtype, { fmod: int(1) });
    const zero = dtype === 'float32' ? number(builder, 0) : double(builder, 0);
    const negative = (x: TracedArray) => elementwise(layouts, 'Less', [x, zero], 'bool');
    const r = remainder(a, b);
    const twice = remainder(elementwise(layouts, 'Add', [r, b], dtype), b);
    const differ = elementwise(layouts, 'Xor', [negative(a), negative(b)], 'bool');
    return elementwise(layouts, 'Where', [differ, twice, r], dtype);
  });
});

const LARGEST = 3.4028234663852886e38;

/**
 * The angle of the point (b, a): atan(a/b), turned by ±π where b is negative. Zeros have signs (1/−0 = −∞), and infinities count as the largest
 * number so that ∞/∞ = 1.
 */
kernel<Binary>('Atan2', ({ a, b }, { layouts, refuse }) => {
  if (dtypeOf(a) !== 'float32') throw refuse('a function of floats alone', { expected: 'float32' });
  const f = formula(layouts);
  const bounded = (x: TracedArray) => f('Max', f('Min', x, LARGEST), -LARGEST);
  const negative = (x: TracedArray) => f('Or', f('Less', x, 0), f('Less', f('Reciprocal', x), 0));
  const [y, x] = [bounded(a), bounded(b)];
  const origin = f('And', f('Equal', y, 0), f('Equal', x, 0));
  const angle = f('Where', origin, 0, f('Atan', f('Div', y, x)));
  const half = f('Where', negative(a), -Math.PI, Math.PI);
  return f('Add', angle, f('Where', negative(b), half, 0));
});
