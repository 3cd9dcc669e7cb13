/** Matrix products. A transposed operand is read where it lies: Gemm's and the runtime's own flags do the rest. */
import { kernel } from '../kernel.ts';
import { identityOrder, int, ints, type Layouts, type TracedArray } from '../traced-array.ts';
import { broadcastShape } from './elementwise.ts';

type Attrs = { transposeA: boolean; transposeB: boolean };

/** The rank-2 value of a matrix with leading axes of size 1, and whether it lies transposed. */
function matrix(x: TracedArray, transposed: boolean, layouts: Layouts) {
  const flat = layouts.reshape(x, x.shape.slice(-2));
  const lies = flat.value.shape.length === 2 && flat.order[0] === 1;
  const value = layouts.dense(flat, lies ? [1, 0] : [0, 1]);
  return { value, flag: int(lies === transposed ? 0 : 1) };
}

kernel<{ a: TracedArray; b: TracedArray }, Attrs>('BatchMatMul', ({ a, b }, { attrs, layouts, builder }) => {
  const rank = a.shape.length;
  const rows = a.shape[rank - (attrs.transposeA ? 1 : 2)] as number;
  const columns = b.shape[rank - (attrs.transposeB ? 2 : 1)] as number;
  const batch = broadcastShape([a.shape.slice(0, -2), b.shape.slice(0, -2)]);
  if (batch.every((d) => d === 1)) {
    const left = matrix(a, attrs.transposeA, layouts);
    const right = matrix(b, attrs.transposeB, layouts);
    const product = builder.emit('Gemm', [left.value, right.value], 'float32', [rows, columns], {
      transA: left.flag,
      transB: right.flag,
    });
    return layouts.reshape({ value: product, shape: [rows, columns], order: [0, 1] }, [...batch, rows, columns]);
  }
  const swapped = [...identityOrder(rank - 2), rank - 1, rank - 2];
  const operand = (x: TracedArray, transposed: boolean) => {
    const wanted = transposed ? layouts.transpose(x, swapped) : x;
    // leave the transpose of the last two axes to its own node: runtimes fuse it into the product
    const lies = wanted.order.at(-1) === rank - 2 && wanted.value.shape.length === rank;
    if (!lies) return layouts.dense(wanted);
    const value = layouts.dense(wanted, swapped);
    return builder.emit('Transpose', [value], value.dtype, swapped.map((p) => value.shape[p] as number), { perm: ints(swapped) });
  };
  const shape = [...batch, rows, columns];
  const value = builder.emit('MatMul', [operand(a, attrs.transposeA), operand(b, attrs.transposeB)], 'float32', shape);
  return { value, shape, order: identityOrder(rank) };
});
