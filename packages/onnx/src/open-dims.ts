/**
 * Sizes that differ between traces of one function: what they are called, and how a graph computes them when it runs. A size is a list of numbers, one of each
 * trace; the open sizes of the signature are known by name, all others by the values that have them. A rule holds if it holds in every trace.
 */
import { ndArray, type NdArray } from '@coda-nets/core';
import type { Dim, Node, Value } from './graph.ts';
import type { Sizes } from './trace-sizes.ts';

/** What a size is in each trace. */
export type Series = readonly number[];

export const isFixed = (series: Series): boolean => series.every((size) => size === series[0]);
export const isSame = (a: Series, b: Series): boolean => a.every((size, i) => size === b[i]);

/** Largest divisor and summand that a name is made with; a size that needs larger ones is numbered. */
const LARGEST = 64;

/** Nodes and constants that a graph gets beside those that were traced. */
export interface Additions {
  readonly nodes: Node[];
  readonly constants: Map<Value, NdArray>;
}

interface Place {
  readonly series: Series;
  readonly value: Value;
  readonly axis: number;
}

export class OpenDims {
  readonly #symbols: readonly (readonly [string, Series])[];
  readonly #names = new Map<string, string>();
  readonly #places: Place[] = [];
  readonly #computed = new Map<string, Value>();
  readonly #additions: Additions;

  constructor(sizes: readonly Sizes[], additions: Additions) {
    const symbols = [...(sizes[0] as Sizes).keys()];
    // products of up to three: batch*height*width
    const subsets: string[][] = [[]];
    for (const symbol of symbols) subsets.push(...subsets.map((subset) => [...subset, symbol]));
    this.#symbols = subsets
      .filter(({ length }) => length > 0 && length <= 3)
      .toSorted((a, b) => a.length - b.length)
      .map((subset) => [subset.join('*'), sizes.map((s) => subset.reduce((product, symbol) => product * (s.get(symbol) as number), 1))]);
    this.#additions = additions;
  }

  /** What a size is called: `64*batch`, `height-2`, `ceil(width/2)`. */
  name(series: Series): Dim {
    if (isFixed(series)) return series[0] as number;
    const key = series.join();
    const known = this.#names.get(key) ?? this.#multiple(series) ?? this.#derived(series) ?? `size_${this.#names.size}`;
    this.#names.set(key, known);
    return known;
  }

  /** Remembers where sizes can be read from. */
  learn(value: Value, shape: readonly Series[]): void {
    for (const [axis, series] of shape.entries()) {
      if (!isFixed(series) && this.#exact(series) === undefined) this.#places.push({ series, value, axis });
    }
  }

  /** The sizes as an int64 value of one axis; undefined where one of them is no product or sum of sizes that are known. */
  values(all: readonly Series[]): Value | undefined {
    const parts = all.map((series) => (isFixed(series) ? this.#int64(series[0] as number) : this.#size(series)));
    if (parts.includes(undefined)) return undefined;
    return parts.length === 1 ? parts[0] : this.#emit('Concat', parts as Value[], parts.length, { axis: { int: 0 } });
  }

  #multiple(series: Series): string | undefined {
    for (const [symbol, of] of this.#symbols) {
      const times = factor(series, of);
      if (times !== undefined) return times === 1 ? symbol : `${times}*${symbol}`;
    }
    return undefined;
  }

  #derived(series: Series): string | undefined {
    for (const [symbol, of] of this.#symbols.filter(([s]) => !s.includes('*'))) {
      for (let n = 2; n <= LARGEST; n++) {
        if (of.every((size, i) => Math.ceil(size / n) === series[i])) return `ceil(${symbol}/${n})`;
        if (of.every((size, i) => Math.floor(size / n) === series[i])) return `floor(${symbol}/${n})`;
      }
      const more = difference(series, of);
      if (more !== undefined && Math.abs(more) <= LARGEST) return `${symbol}${more > 0 ? '+' : ''}${more}`;
    }
    return undefined;
  }

  #exact(series: Series): Place | undefined {
    return this.#places.find((place) => isSame(place.series, series));
  }

  #size(series: Series): Value | undefined {
    const key = series.join();
    const known = this.#computed.get(key) ?? this.#compute(series);
    if (known !== undefined) this.#computed.set(key, known);
    return known;
  }

  #compute(series: Series): Value | undefined {
    const exact = this.#exact(series);
    if (exact !== undefined) {
      return this.#emit('Shape', [exact.value], 1, { start: { int: exact.axis }, end: { int: exact.axis + 1 } });
    }
    for (const { series: of } of this.#places) {
      const times = factor(series, of);
      if (times !== undefined) return this.#combine('Mul', of, this.#int64(times));
    }
    for (const { series: of } of this.#places) {
      const rest = series.map((size, i) => size / (of[i] as number));
      const other = this.#exact(rest) && this.#size(rest);
      if (other !== undefined) return this.#combine('Mul', of, other);
    }
    for (const { series: of } of this.#places) {
      const more = difference(series, of);
      if (more !== undefined) return this.#combine('Add', of, this.#int64(more));
    }
    return undefined;
  }

  #combine(op: string, of: Series, other: Value): Value {
    return this.#emit(op, [this.#size(of) as Value, other], 1);
  }

  #emit(op: string, inputs: readonly Value[], length: number, attributes: Node['attributes'] = {}): Value {
    const output: Value = { dtype: 'int64', shape: [length] };
    this.#additions.nodes.push({ op, inputs, output, attributes });
    return output;
  }

  #int64(n: number): Value {
    const value: Value = { dtype: 'int64', shape: [1] };
    this.#additions.constants.set(value, ndArray('int64', [1], BigInt64Array.of(BigInt(n))));
    return value;
  }
}

/** n with series = n · of in every trace. */
function factor(series: Series, of: Series): number | undefined {
  const times = (series[0] as number) / (of[0] as number);
  return Number.isInteger(times) && times > 0 && series.every((size, i) => size === times * (of[i] as number)) ? times : undefined;
}

/** c with series = of + c in every trace. */
function difference(series: Series, of: Series): number | undefined {
  const more = (series[0] as number) - (of[0] as number);
  return series.every((size, i) => size - (of[i] as number) === more) ? more : undefined;
}
