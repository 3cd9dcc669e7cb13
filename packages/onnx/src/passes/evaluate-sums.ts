/**
 * Sums and products of constant matrices, added in float64 and rounded once: nearer to the true value than any runtime, and so not its bits. For graphs
 * that are run (`evaluate.ts` has what is exact).
 */
import { sizeOf, zerosArray, type NdArray } from '@coda-nets/core';
import type { Node } from '../graph.ts';

/** Multiply-adds of one node, a few seconds here; larger products are left to the runtime. */
const MOST_WORK = 2 ** 32;

type Matrix = NdArray<'float32'>;

export function evaluateSum({ op, output, attributes }: Node, inputs: readonly (NdArray | undefined)[]): NdArray | undefined {
  const { shape } = output;
  const [x, y, z] = inputs;
  if (x?.dtype !== 'float32' || !shape.every((d) => typeof d === 'number')) return undefined;
  if (op === 'ReduceSum') return summed(x as Matrix, y, shape);
  if (y?.dtype !== 'float32') return undefined;
  const flag = (name: string): boolean => 'int' in (attributes[name] ?? {}) && (attributes[name] as { int: number }).int === 1;
  if (op === 'Gemm') return z === undefined ? product(x as Matrix, y as Matrix, shape, flag('transA'), flag('transB')) : undefined;
  return op === 'MatMul' ? product(x as Matrix, y as Matrix, shape, false, false) : undefined;
}

function summed({ shape, data }: Matrix, axes: NdArray | undefined, result: readonly number[]): NdArray | undefined {
  if (axes === undefined) return undefined;
  const reduced = new Set(Array.from(axes.data as BigInt64Array, (axis) => (Number(axis) + shape.length) % shape.length));
  const sums = new Float64Array(sizeOf(result));
  const kept = shape.map((d, axis) => (reduced.has(axis) ? 1 : d));
  for (let i = 0; i < data.length; i++) {
    let rest = i;
    let at = 0;
    let stride = 1;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis] as number;
      if (!reduced.has(axis)) at += (rest % size) * stride;
      stride *= kept[axis] as number;
      rest = Math.floor(rest / size);
    }
    sums[at] = (sums[at] as number) + (data[i] as number);
  }
  return { dtype: 'float32', shape: result, data: Float32Array.from(sums) };
}

/** Of the last two axes; leading axes are equal, or one operand has none. */
function product(a: Matrix, b: Matrix, shape: readonly number[], transA: boolean, transB: boolean): NdArray | undefined {
  const [rows, columns] = shape.slice(-2) as [number, number];
  const batch = shape.slice(0, -2);
  const leading = (m: Matrix): readonly number[] => m.shape.slice(0, -2);
  if (a.shape.length < 2 || b.shape.length < 2) return undefined;
  const fits = (m: Matrix): boolean => leading(m).length === 0 || leading(m).join() === batch.join();
  const inner = a.shape.at(transA ? -2 : -1) as number;
  if (!fits(a) || !fits(b) || sizeOf(shape) * inner > MOST_WORK) return undefined;
  const out = zerosArray('float32', shape);
  const row = new Float64Array(columns);
  const [sizeA, sizeB] = [rows * inner, inner * columns];
  for (let n = 0; n < sizeOf(batch); n++) {
    const [atA, atB] = [leading(a).length === 0 ? 0 : n * sizeA, leading(b).length === 0 ? 0 : n * sizeB];
    for (let i = 0; i < rows; i++) {
      row.fill(0);
      for (let k = 0; k < inner; k++) {
        const factor = a.data[atA + (transA ? k * rows + i : i * inner + k)] as number;
        for (let j = 0; j < columns; j++) {
          row[j] = (row[j] as number) + factor * (b.data[atB + (transB ? j * inner + k : k * columns + j)] as number);
        }
      }
      out.data.set(row, (n * rows + i) * columns);
    }
  }
  return out;
}
