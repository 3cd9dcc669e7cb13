/** Elementwise operations on arrays whose channels lie in blocks. */
import { sizeOf, type DType } from '@coda-nets/core';
import type { BlockedLayout } from '../blocked-layout.ts';
import { float, type Node } from '../graph.ts';
import type { StaticValue } from '../graph-builder.ts';
import { NCHW, dtypeOf, isFilled, withRank, type Layouts, type TracedArray } from '../traced-array.ts';

/** Whether the array is one number a channel. */
function perChannel(a: TracedArray): boolean {
  const channels = a.shape.at(-1) as number;
  return !isFilled(a) && sizeOf(a.value.shape) === channels && channels > 1 && !isLazyChannel(a);
}

/** Whether the array is one number an image: it means the same in every layout that has the images first. */
function perImage(a: TracedArray): boolean {
  return !isFilled(a) && a.blocked !== true && sizeOf(a.value.shape) === a.shape[0] && sizeOf(a.shape) === a.shape[0];
}

const isLazyChannel = (a: TracedArray): boolean => a.value.shape[a.value.shape.length - a.order.length + a.order.indexOf(3)] !== a.shape[3];

/** As `elementwise`, with at least one operand blocked; undefined where blocks are of no use. */
export function blockedElementwise(
  layouts: Layouts,
  op: string,
  operands: readonly TracedArray[],
  shape: readonly number[],
  dtype: DType,
  attributes: Node['attributes'],
): TracedArray | undefined {
  const blocks = layouts.blocks as BlockedLayout;
  if (shape.length !== 4 || operands.some((o) => o.blocked === true && o.shape.some((d, i) => d !== shape[i]))) return undefined;
  const blocked = (value: StaticValue): TracedArray => ({ value, shape, order: NCHW, blocked: true });
  const aligned = operands.map((o) => withRank(o, 4));
  const vectors = aligned.map((o) => o.blocked !== true && perChannel(o));
  const float32 = dtype === 'float32' && aligned.every((o) => dtypeOf(o) === 'float32');
  if (vectors.includes(true)) {
    const [a, b] = aligned as [TracedArray, TracedArray];
    if (!float32 || operands.length !== 2) return undefined;
    const vector = (x: TracedArray): StaticValue => layouts.builder.reshape(x.value, [shape[3] as number]);
    if (op === 'Mul') return blocked(vectors[1] ? blocks.scaled(a.value, vector(b)) : blocks.scaled(b.value, vector(a)));
    if (op === 'Add') return blocked(vectors[1] ? blocks.shifted(a.value, vector(b)) : blocks.shifted(b.value, vector(a)));
    if (op === 'Sub' && vectors[1]) {
      return blocked(blocks.shifted(a.value, layouts.builder.emit('Neg', [vector(b)], 'float32', [shape[3] as number])));
    }
    return undefined;
  }
  const values = aligned.map((o) => {
    if (o.blocked === true || isFilled(o)) return o.value;
    if (perImage(o)) return layouts.builder.reshape(o.value, [o.shape[0] as number, 1, 1, 1]);
    return dtypeOf(o) === 'float32' ? blocks.enter(layouts.dense({ ...o, shape }, NCHW)) : undefined;
  });
  if (values.includes(undefined)) return undefined;
  const inputs = values as StaticValue[];
  const full = !aligned.some((o) => isFilled(o) || perImage(o));
  if (float32 && full && op === 'Add' && inputs.length === 2)
    return blocked(blocks.sum(inputs[0] as StaticValue, inputs[1] as StaticValue));
  if (float32 && op === 'Relu') return blocked(blocks.relu(inputs[0] as StaticValue));
  const physical = NCHW.map((axis) => shape[axis] as number);
  return blocked(layouts.builder.emit(op, inputs, dtype, physical, attributes));
}

/**
 * 1 where x > 0, else 0: min(max(αx, 0), 1) with an α that takes every normal number beyond 1, in one pass where comparing and casting are two.
 * A denormal number above 0, which vector units flush in any case, gives less than 1.
 */
export function blockedStep(layouts: Layouts, x: TracedArray): TracedArray {
  const value = (layouts.blocks as BlockedLayout).rectified(x.value);
  const attributes = { alpha: float(3e38), beta: float(0) };
  return { ...x, value: layouts.builder.emit('HardSigmoid', [value], 'float32', value.shape, attributes) };
}
