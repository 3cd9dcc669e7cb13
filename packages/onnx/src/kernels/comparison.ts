/** Comparisons, truth values and selection. */
import { kernel } from '../kernel.ts';
import { dtypeOf, type TracedArray } from '../traced-array.ts';
import { castArray, elementwise, formula, type Binary } from './elementwise.ts';

type Unary = { x: TracedArray };

const comparisons = [
  ['Greater', 'Greater'],
  ['GreaterEqual', 'GreaterOrEqual'],
  ['Less', 'Less'],
  ['LessEqual', 'LessOrEqual'],
] as const;
for (const [kernelName, op] of comparisons) {
  kernel<Binary>(kernelName, ({ a, b }, { layouts, builder }) => {
    // ONNX does not order truth values
    const dtype = dtypeOf(a) === 'bool' ? 'int32' : dtypeOf(a);
    return elementwise(layouts, op, [castArray(builder, a, dtype), castArray(builder, b, dtype)], 'bool');
  });
}

const logical = [
  ['Equal', 'Equal'],
  ['LogicalAnd', 'And'],
  ['LogicalOr', 'Or'],
] as const;
for (const [kernelName, op] of logical) {
  kernel<Binary>(kernelName, ({ a, b }, { layouts }) => elementwise(layouts, op, [a, b], 'bool'));
}
kernel<Binary>('NotEqual', ({ a, b }, { layouts }) => {
  return elementwise(layouts, 'Not', [elementwise(layouts, 'Equal', [a, b], 'bool')], 'bool');
});
kernel<Unary>('LogicalNot', ({ x }, { layouts }) => elementwise(layouts, 'Not', [x], 'bool'));

kernel<Unary>('IsNan', ({ x }, { layouts, builder }) => formula(layouts)('IsNaN', castArray(builder, x, 'float32')));
kernel<Unary>('IsInf', ({ x }, { layouts, builder }) => formula(layouts)('IsInf', castArray(builder, x, 'float32')));
kernel<Unary>('IsFinite', ({ x }, { layouts, builder }) => {
  const f = formula(layouts);
  const number = castArray(builder, x, 'float32');
  return f('Not', f('Or', f('IsNaN', number), f('IsInf', number)));
});

kernel<{ condition: TracedArray; t: TracedArray; e: TracedArray }>('Select', ({ condition, t, e }, { layouts, builder }) => {
  // a condition of rank 1 selects along the first axis
  const rank = t.shape.length;
  const mask =
    condition.shape.length === rank
      ? condition
      : layouts.reshape(condition, [...condition.shape, ...Array<number>(rank - condition.shape.length).fill(1)]);
  // ONNX Runtime does not select among truth values
  const dtype = dtypeOf(t) === 'bool' ? 'uint8' : dtypeOf(t);
  const chosen = elementwise(layouts, 'Where', [mask, castArray(builder, t, dtype), castArray(builder, e, dtype)], dtype);
  return castArray(builder, chosen, dtypeOf(t));
});
