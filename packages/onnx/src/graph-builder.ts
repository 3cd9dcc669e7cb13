/**
 * Builds a graph node by node. What is already there is never built twice: constants are shared by content and nodes by
 * operator, inputs and attributes, so a graph has no common subexpressions from the start.
 */
import { ndArray, sameShape, sizeOf, type DType, type NdArray } from '@coda-nets/core';
import { int, type Attribute, type Graph, type Node, type Value } from './graph.ts';

/** Constants of at most this many elements are compared by content; larger ones are weights, shared by identity if at all. */
const SHARED_CONSTANT_ELEMENTS = 64;

/** ONNX's TensorProto.DataType numbers, as Cast's attribute wants them. */
const castTarget: Record<DType, number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
  uint32: 12,
  uint64: 13,
};

/** A value whose sizes are all known, as every value is while tracing. */
export interface StaticValue extends Value {
  readonly shape: readonly number[];
}

export class GraphBuilder {
  readonly #inputs: StaticValue[] = [];
  readonly #constants = new Map<Value, NdArray>();
  readonly #nodes: Node[] = [];
  readonly #ids = new Map<Value, number>();
  readonly #known = new Map<string, StaticValue>();
  readonly #origins = new Map<Value, Node>();
  readonly #outputs = new Set<Value>();

  input(name: string, dtype: DType, shape: readonly number[]): StaticValue {
    const value = this.#value(dtype, shape, name);
    this.#inputs.push(value);
    return value;
  }

  constant(array: NdArray, hint?: string): StaticValue {
    const small = hint === undefined && sizeOf(array.shape) <= SHARED_CONSTANT_ELEMENTS;
    const key = small ? `${array.dtype}|${array.shape.join()}|${contentOf(array)}` : undefined;
    const known = key === undefined ? undefined : this.#known.get(key);
    if (known !== undefined) return known;
    const value = this.#value(array.dtype, array.shape, hint);
    this.#constants.set(value, array);
    if (key !== undefined) this.#known.set(key, value);
    return value;
  }

  scalar(x: number): StaticValue {
    return this.constant(ndArray('float32', [], Float32Array.of(x)));
  }

  /** A one-dimensional int64 constant, as shapes, axes and pads are given. */
  int64(values: readonly number[]): StaticValue {
    return this.constant(
      ndArray(
        'int64',
        [values.length],
        BigInt64Array.from(values, (v) => BigInt(v)),
      ),
    );
  }

  emit(
    op: string,
    inputs: readonly (StaticValue | undefined)[],
    dtype: DType,
    shape: readonly number[],
    attributes: Readonly<Record<string, Attribute>> = {},
    { outputIndex, domain, padding }: Pick<Node, 'outputIndex' | 'domain' | 'padding'> = {},
  ): StaticValue {
    const operands = inputs.map((v) => (v === undefined ? '' : this.#ids.get(v))).join();
    const key = `${domain ?? ''}|${op}|${operands}|${dtype}|${outputIndex}|${padding?.toString()}|${attributeKey(attributes)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const output = this.#value(dtype, shape);
    const node: Node = { op, domain, inputs, output, attributes, outputIndex, padding };
    this.#nodes.push(node);
    this.#known.set(key, output);
    this.#origins.set(output, node);
    return output;
  }

  reshape(value: StaticValue, shape: readonly number[]): StaticValue {
    if (sameShape(value.shape, shape)) return value;
    return this.emit('Reshape', [value, this.int64(shape)], value.dtype, shape);
  }

  cast(value: StaticValue, dtype: DType): StaticValue {
    return value.dtype === dtype ? value : this.emit('Cast', [value], dtype, value.shape, { to: int(castTarget[dtype]) });
  }

  get nodeCount(): number {
    return this.#nodes.length;
  }

  /** Operators of the nodes from the given one on. */
  operatorsFrom(index: number): readonly string[] {
    return this.#nodes.slice(index).map(({ op }) => op);
  }

  /** Whether the value is a constant as it was given, not one that is computed. */
  isConstant(value: Value): boolean {
    return this.#constants.has(value);
  }

  ones(shape: readonly number[]): StaticValue {
    return this.constant(ndArray('float32', shape, new Float32Array(sizeOf(shape)).fill(1)));
  }

  /** Wishes for a name of a value that is computed and has none. */
  name(value: StaticValue, hint: string): void {
    if (this.#origins.has(value) && value.hint === undefined) (value as { hint?: string | undefined }).hint = hint;
  }

  /** The node that computes a value. */
  originOf(value: Value | undefined): Node | undefined {
    return value === undefined ? undefined : this.#origins.get(value);
  }

  /** The number a scalar constant holds. */
  scalarOf(value: Value): number | undefined {
    const array = this.#constants.get(value);
    if (array === undefined || array.shape.length > 0 || array.dtype !== 'float32') return undefined;
    return Number(array.data[0]);
  }

  /** A value of its own for an output of the graph: not an input, a constant, or another output. */
  output(value: StaticValue): StaticValue {
    if (this.#origins.has(value) && !this.#outputs.has(value)) {
      this.#outputs.add(value);
      return value;
    }
    const copy = this.#value(value.dtype, value.shape);
    this.#nodes.push({ op: 'Identity', inputs: [value], output: copy, attributes: {} });
    return copy;
  }

  finish(outputs: Readonly<Record<string, Value>>): Graph {
    return { inputs: this.#inputs, outputs, constants: this.#constants, nodes: this.#nodes };
  }

  #value(dtype: DType, shape: readonly number[], hint?: string): StaticValue {
    const value: StaticValue = { dtype, shape, hint };
    this.#ids.set(value, this.#ids.size);
    return value;
  }
}

/** Bytes rather than numbers, so that 0 and −0 stay two. */
function contentOf({ data }: NdArray): string {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).join();
}

/** Tells numbers apart that JSON does not: NaN, ±Infinity and −0. */
export function attributeKey(attributes: Node['attributes']): string {
  return JSON.stringify(attributes, (_, value: unknown) =>
    typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))
      ? `number ${Object.is(value, -0) ? '-0' : value}`
      : value,
  );
}
