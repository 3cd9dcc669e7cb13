/**
 * What the recording backend knows of a tensor: a value of the graph, and how the tensor's elements lie in it.
 *
 * Two liberties keep transposes and broadcasts out of the graph:
 * - order: axis p of the value holds axis `order[p]` of the tensor. A convolution's result lies in NCHW while the tensor is NHWC; elementwise
 *   operations, reductions and slices work where the data lies, and a transpose of a tensor costs nothing until someone needs the axes in place;
 * - lazy broadcast: an axis of the value may have size 1 where the tensor's is larger, and a value of rank 0 stands for a tensor filled with
 *   one number. `ones` and `zeros` of tfjs's gradients thus cost nothing either.
 */
import type { DType } from '@coda-nets/core';
import { BlockedLayout } from './blocked-layout.ts';
import { ints } from './graph.ts';
import type { GraphBuilder, StaticValue } from './graph-builder.ts';

export interface TracedArray {
  readonly value: StaticValue;
  /** As the function sees it. */
  readonly shape: readonly number[];
  readonly order: readonly number[];
  /** Whether the channels lie in blocks (`blocked-layout.ts`); the order is that of NCHW then. */
  readonly blocked?: boolean;
}

export const identityOrder = (rank: number): readonly number[] => Array.from({ length: rank }, (_, i) => i);

/** NHWC → NCHW */
export const NCHW = [0, 3, 1, 2];

/** An array that lies as its tensor does. */
export function plain(value: StaticValue): TracedArray {
  return { value, shape: value.shape, order: identityOrder(value.shape.length) };
}

/** A tensor filled with the one number of a rank-0 value. */
export function filled(value: StaticValue, shape: readonly number[]): TracedArray {
  return { value, shape, order: identityOrder(shape.length) };
}

/** A scalar is a filled tensor of one element. */
export const isFilled = (a: TracedArray): boolean => a.value.shape.length === 0;

export const dtypeOf = (a: TracedArray): DType => a.value.dtype;

/** Whether tensor axis `axis` is broadcast lazily: 1 in the value and more in the tensor. */
export function isLazy(a: TracedArray, axis: number): boolean {
  return isFilled(a) ? a.shape[axis] !== 1 : a.value.shape[a.order.indexOf(axis)] !== a.shape[axis];
}

const sameOrder = (a: readonly number[], b: readonly number[]): boolean => a.every((x, i) => x === b[i]);

/** The same tensor seen with leading axes of size 1, as broadcasting aligns shapes. */
export function withRank(a: TracedArray, rank: number): TracedArray {
  const extra = rank - a.shape.length;
  if (extra === 0) return a;
  const shape = [...Array<number>(extra).fill(1), ...a.shape];
  if (isFilled(a)) return filled(a.value, shape);
  return { value: a.value, shape, order: [...identityOrder(extra), ...a.order.map((axis) => axis + extra)] };
}

export interface LayoutOptions {
  /** Channels in a block, if the graph is for a runtime with blocked operators. */
  readonly block?: number | undefined;
  /** Whether images may have any size: nothing is decided by how large they are. */
  readonly spaceIsOpen?: boolean;
  readonly convolutionsAsProducts?: boolean;
}

export class Layouts {
  readonly builder: GraphBuilder;
  /** Where the graph is for a runtime that has blocked operators. */
  readonly blocks: BlockedLayout | undefined;
  readonly spaceIsOpen: boolean;
  /** Whether convolutions with many outputs over small maps are recorded as products. */
  readonly convolutionsAsProducts: boolean;

  constructor(builder: GraphBuilder, { block, spaceIsOpen = false, convolutionsAsProducts = true }: LayoutOptions = {}) {
    this.builder = builder;
    this.blocks = block === undefined ? undefined : new BlockedLayout(block, builder);
    this.spaceIsOpen = spaceIsOpen;
    this.convolutionsAsProducts = convolutionsAsProducts && !spaceIsOpen;
  }

  unblocked(a: TracedArray): TracedArray {
    if (a.blocked !== true || this.blocks === undefined) return a;
    return { value: this.blocks.leave(a.value), shape: a.shape, order: a.order };
  }

  /** The value of `a` with its axes in `order`; axes broadcast lazily stay 1, a filled tensor stays a scalar. */
  inOrder(array: TracedArray, order: readonly number[]): StaticValue {
    if (isFilled(array)) return array.value;
    const a = this.unblocked(array);
    const { builder } = this;
    // withRank leaves leading axes out of the value: put them back as ones
    const missing = a.order.length - a.value.shape.length;
    const dims = [...Array<number>(missing).fill(1), ...a.value.shape];
    const value = missing === 0 ? a.value : this.builder.reshape(a.value, dims);
    if (sameOrder(a.order, order)) return value;
    const perm = order.map((axis) => a.order.indexOf(axis));
    const shape = perm.map((p) => dims[p] as number);
    const moved = perm.filter((p) => dims[p] !== 1);
    if (moved.every((p, i) => i === 0 || p > (moved[i - 1] as number))) return this.builder.reshape(a.value, shape);
    return builder.emit('Transpose', [value], value.dtype, shape, { perm: ints(perm) });
  }

  /** As `inOrder`, but leading axes of size 1 may be missing, as ONNX's broadcasting allows. */
  broadcastable(a: TracedArray, order: readonly number[]): StaticValue {
    const leading = a.order.length - a.value.shape.length;
    return sameOrder(a.order, order) && leading > 0 ? a.value : this.inOrder(a, order);
  }

  /** The value of `a` with its axes in `order` and every element there. */
  dense(a: TracedArray, order: readonly number[] = identityOrder(a.shape.length)): StaticValue {
    const value = this.inOrder(a, order);
    const shape = order.map((axis) => a.shape[axis] as number);
    if (value.shape.length === shape.length && value.shape.every((d, i) => d === shape[i])) return value;
    return this.builder.emit('Expand', [value, this.builder.int64(shape)], value.dtype, shape);
  }

  /** Axes of `perm` as a transpose of tfjs names them; records nothing. */
  transpose(array: TracedArray, perm: readonly number[]): TracedArray {
    const a = this.unblocked(array);
    const shape = perm.map((axis) => a.shape[axis] as number);
    return { value: a.value, shape, order: a.order.map((axis) => perm.indexOf(axis)) };
  }

  /** A reshape that keeps the data where it lies when each group of axes that is split or merged lies together and in order. */
  reshape(array: TracedArray, shape: readonly number[]): TracedArray {
    if (isFilled(array)) return filled(array.value, shape);
    const a = this.unblocked(array);
    const groups = axisGroups(a.shape, shape);
    const lazyInside = groups.some((g) => g.from.length + g.to.length > 2 && keepsNot(a, g, shape));
    const source = lazyInside ? { ...a, value: this.dense(a, a.order) } : a;
    const order = reorderedGroups(source, groups);
    if (order === undefined) return plain(this.builder.reshape(this.dense(a), shape));
    const lazy = new Set(
      groups.flatMap((g) => (g.from.some((axis) => isLazy(source, axis)) ? g.to.filter((axis) => shape[axis] !== 1) : [])),
    );
    const physical = order.map((axis) => (lazy.has(axis) ? 1 : (shape[axis] as number)));
    return { value: this.builder.reshape(source.value, physical), shape, order };
  }
}

interface AxisGroup {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** A lazily broadcast axis survives a reshape only if it stays one axis beside axes of size 1. */
function keepsNot(a: TracedArray, group: AxisGroup, shape: readonly number[]): boolean {
  if (!group.from.some((axis) => isLazy(a, axis))) return false;
  return group.from.filter((axis) => a.shape[axis] !== 1).length > 1 || group.to.filter((axis) => shape[axis] !== 1).length > 1;
}

/** Smallest runs of axes with equal products on both sides. */
function axisGroups(from: readonly number[], to: readonly number[]): AxisGroup[] {
  const groups: { from: number[]; to: number[] }[] = [];
  let i = 0;
  let j = 0;
  while (i < from.length && j < to.length) {
    const group = { from: [i], to: [j] };
    let left = from[i++] as number;
    let right = to[j++] as number;
    // a product may become 0 only at the end of its side
    while (left !== right && (i < from.length || j < to.length)) {
      if (j === to.length || (left < right && i < from.length)) {
        left *= from[i] as number;
        group.from.push(i++);
      } else {
        right *= to[j] as number;
        group.to.push(j++);
      }
    }
    groups.push(group);
  }
  const rest = { from: from.slice(i).map((_, k) => i + k), to: to.slice(j).map((_, k) => j + k) };
  if (rest.from.length + rest.to.length > 0) groups.push(rest);
  return groups;
}

/** The order in which the new axes lie if nothing is moved; undefined if a group's axes lie apart. */
function reorderedGroups(a: TracedArray, groups: readonly AxisGroup[]): readonly number[] | undefined {
  const groupOf = new Map(groups.flatMap((g) => g.from.map((axis) => [axis, g] as const)));
  const order: number[] = [];
  const done = new Set<AxisGroup>();
  let current: AxisGroup | undefined;
  let last = -1;
  for (const axis of a.order) {
    if (a.shape[axis] === 1) continue;
    const group = groupOf.get(axis) as AxisGroup;
    if (group !== current) {
      if (done.has(group)) return undefined;
      done.add(group);
      order.push(...group.to);
      current = group;
    } else if (axis < last) return undefined;
    last = axis;
  }
  for (const group of groups) if (!done.has(group)) order.push(...group.to);
  return order;
}
