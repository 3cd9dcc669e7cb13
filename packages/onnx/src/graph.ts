/**
 * The intermediate representation: ONNX's own words, free of protobuf. Values are objects, so that a pass can tell two of them apart
 * without names; names are given once, when the graph is encoded (`give-names.ts`).
 */
import type { DType, NdArray } from '@coda-nets/core';

/** A size, or a symbol such as `batch` or `64*batch`. */
export type Dim = number | string;

export interface Value {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** The name it would like; required for graph inputs. */
  readonly hint?: string | undefined;
}

/** INT and INTS, FLOAT, STRING: the kinds of attribute the operators here need. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly string: string };

export const int = (value: number): Attribute => ({ int: value });
export const ints = (values: readonly number[]): Attribute => ({ ints: values });
export const float = (value: number): Attribute => ({ float: value });

/** Of a window operator: `same`, or how many elements of padding lie behind the last along each axis of space, at whatever size. */
export type Padding = 'same' | readonly number[];

export interface Node {
  readonly op: string;
  /** Default: ONNX's own operators. */
  readonly domain?: string | undefined;
  /** `undefined` leaves an optional input out. */
  readonly inputs: readonly (Value | undefined)[];
  readonly output: Value;
  /** Which of the operator's outputs `output` is, default the first; nobody reads the others. */
  readonly outputIndex?: number | undefined;
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** How the padding of a window operator was asked for, which its attributes show for one size alone. No part of a file. */
  readonly padding?: Padding | undefined;
}

export interface Graph {
  readonly inputs: readonly Value[];
  /** By the name a caller sees. */
  readonly outputs: Readonly<Record<string, Value>>;
  readonly constants: ReadonlyMap<Value, NdArray>;
  /** In an order in which each node comes after the nodes it reads. */
  readonly nodes: readonly Node[];
}
