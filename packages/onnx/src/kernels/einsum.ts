/** Sums of products by name of the axes. The letters of an operand are those of its value, in the order in which its axes lie: no transposes. */
import * as tf from '@tensorflow/tfjs-core';
import { kernel } from '../kernel.ts';
import { dtypeOf, plain, type TracedArray } from '../traced-array.ts';

kernel<Record<string, TracedArray>, { equation: string }>('Einsum', (inputs, { attrs, layouts, builder, refuse }) => {
  const operands = Object.values(inputs);
  const dtype = dtypeOf(operands[0] as TracedArray);
  if (dtype === 'bool') throw refuse('arithmetic on truth values', { expected: 'float32 or int32' });
  const { allDims, idDims } = tf.backend_util.decodeEinsumEquation(attrs.equation, operands.length);
  tf.backend_util.checkEinsumDimSizes(allDims.length, idDims, operands.map(({ shape }) => ({ shape: [...shape] })) as tf.Tensor[]);
  const [left, result] = attrs.equation.replaceAll(' ', '').split('->') as [string, string];
  const letters = left.split(',').map((names, i) => (operands[i] as TracedArray).order.map((axis) => names[axis]).join(''));
  const sizes = new Map(
    left.split(',').flatMap((names, i) => Array.from(names, (name, axis) => [name, operands[i]?.shape[axis] as number])),
  );
  const shape = Array.from(result, (name) => sizes.get(name) as number);
  const values = operands.map((x) => layouts.dense(x, x.order));
  return plain(builder.emit('Einsum', values, dtype, shape, { equation: { string: `${letters.join(',')}->${result}` } }));
});
