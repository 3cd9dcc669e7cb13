/** Matrix products. A transposed operand is read where it lies: Gemm's and the runtime's own flags do the rest. */
import { int, ints } from '../graph.ts';
import { kernel, type KernelContext } from '../kernel.ts';
import { dtypeOf, identityOrder, type Layouts, type TracedArray } from '../traced-array.ts';
import { activated, type ActivationAttrs } from './activation.ts';
import { broadcastShape, elementwise } from './elementwise.ts';

type Operands = { a: TracedArray; b: TracedArray };
type Attrs = { transposeA: boolean; transposeB: boolean };

/** The rank-2 value of a matrix with leading axes of size 1, and whether it lies transposed. */
function matrix(x: TracedArray, transposed: boolean, layouts: Layouts) {
  const flat = layouts.reshape(x, x.shape.slice(-2));
  const lies = flat.value.shape.length === 2 && flat.order[0] === 1;
  const value = layouts.dense(flat, lies ? [1, 0] : [0, 1]);
  return { value, flag: int(lies === transposed ? 0 : 1) };
}

kernel<Operands, Attrs>('BatchMatMul', ({ a, b }, context) => product(a, b, undefined, context));

kernel<Operands & { bias?: TracedArray; preluActivationWeights?: TracedArray }, Attrs & ActivationAttrs>(
  '_FusedMatMul',
  ({ a, b, bias, preluActivationWeights }, context) => activated(product(a, b, bias, context), preluActivationWeights, context),
);

/** a · b + bias over the last two axes. Whole numbers have no Gemm in the runtimes, but a MatMul, which wraps around as TensorFlow.js does. */
function product(
  a: TracedArray,
  b: TracedArray,
  bias: TracedArray | undefined,
  { attrs, layouts, builder, refuse }: KernelContext<Attrs>,
): TracedArray {
  const dtype = dtypeOf(a);
  if (dtype === 'bool' || [b, bias].some((operand) => operand !== undefined && dtypeOf(operand) !== dtype)) {
    throw refuse('a product', { expected: 'float32 or int32, all the same' });
  }
  const rank = a.shape.length;
  const rows = a.shape[rank - (attrs.transposeA ? 1 : 2)] as number;
  const columns = b.shape[rank - (attrs.transposeB ? 2 : 1)] as number;
  const batch = broadcastShape([a.shape.slice(0, -2), b.shape.slice(0, -2)]);
  if (dtype === 'float32' && batch.every((d) => d === 1)) {
    const left = matrix(a, attrs.transposeA, layouts);
    const right = matrix(b, attrs.transposeB, layouts);
    const added = bias === undefined ? [] : [layouts.inOrder(bias, identityOrder(bias.shape.length))];
    const value = builder.emit('Gemm', [left.value, right.value, ...added], 'float32', [rows, columns], {
      transA: left.flag,
      transB: right.flag,
    });
    return layouts.reshape({ value, shape: [rows, columns], order: [0, 1] }, [...batch, rows, columns]);
  }
  const swapped = [...identityOrder(rank - 2), rank - 1, rank - 2];
  const operand = (x: TracedArray, transposed: boolean) => {
    const wanted = transposed ? layouts.transpose(x, swapped) : x;
    // leave the transpose of the last two axes to its own node: runtimes fuse it into the product
    const lies = wanted.order.at(-1) === rank - 2 && wanted.value.shape.length === rank;
    if (!lies) return layouts.dense(wanted);
    const value = layouts.dense(wanted, swapped);
    return builder.emit(
      'Transpose',
      [value],
      value.dtype,
      swapped.map((p) => value.shape[p] as number),
      { perm: ints(swapped) },
    );
  };
  const shape = [...batch, rows, columns];
  const value = builder.emit('MatMul', [operand(a, attrs.transposeA), operand(b, attrs.transposeB)], dtype, shape);
  const plainProduct = { value, shape, order: identityOrder(rank) };
  return bias === undefined ? plainProduct : elementwise(layouts, 'Add', [plainProduct, bias], dtype);
}
