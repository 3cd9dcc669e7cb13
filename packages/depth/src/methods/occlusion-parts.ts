/**
 * Parts of a map that are large enough for the windows blanked in them: what occlusion asks of the network in place of whole maps, where the logits are sums
 * of what lies near each place (`Locality`). Places out of reach of a window add the same to f(part) and to f(part with the window blanked), so that
 *
 *     f(a) − f(a blanked) = f(part) − f(part blanked)
 *
 * as long as the part holds all that the places in reach of the window read, 2·reach beyond it on each side, and begins where a place of the last map does.
 */
import type { Locality } from '@coda-nets/core';

/** Windows in one part, and where the part begins. */
export interface OcclusionPart {
  readonly at: readonly [row: number, column: number];
  /** In the whole map. */
  readonly windows: readonly (readonly [top: number, left: number])[];
}

export interface OcclusionParts {
  /** [h, w] of all parts. */
  readonly size: readonly [number, number];
  readonly parts: readonly OcclusionPart[];
}

export interface OcclusionPartsOptions {
  /** [h, w] of the map. */
  readonly size: readonly [number, number];
  readonly window: number;
  /** Of the windows, ascending. */
  readonly tops: readonly number[];
  readonly lefts: readonly number[];
  readonly locality: Locality | undefined;
}

/** Squares of so many windows a side share a part, and its f, as need the fewest numbers; without a locality the map is the one part. */
export function occlusionParts(options: OcclusionPartsOptions): OcclusionParts {
  const { tops, lefts, locality } = options;
  const all = Math.max(tops.length, lefts.length);
  if (locality === undefined) return partsOf(options, all);
  const sides = Array.from({ length: all }, (_, i) => i + 1);
  const numbers = sides.map((side) => numbersOf(options, side));
  return partsOf(options, sides[numbers.indexOf(Math.min(...numbers))] as number);
}

/** In all parts, each as often as it has windows and once as it is; parts are counted, not made, since there are as many plans as windows a side. */
function numbersOf(options: OcclusionPartsOptions, side: number): number {
  const { rows, columns } = alongAxes(options, side);
  const parts = rows.intervals.length * columns.intervals.length;
  return rows.length * columns.length * (parts + options.tops.length * options.lefts.length);
}

function partsOf(options: OcclusionPartsOptions, side: number): OcclusionParts {
  const { rows, columns } = alongAxes(options, side);
  return {
    size: [rows.length, columns.length],
    parts: rows.intervals.flatMap((row) =>
      columns.intervals.map((column) => ({
        at: [row.at, column.at] as const,
        windows: row.starts.flatMap((top) => column.starts.map((left) => [top, left] as const)),
      })),
    ),
  };
}

function alongAxes({ size: [h, w], window, tops, lefts, locality }: OcclusionPartsOptions, side: number) {
  return { rows: intervals(tops, h, window, side, locality), columns: intervals(lefts, w, window, side, locality) };
}

/** Along one axis: `side` windows each, all of one length. */
function intervals(starts: readonly number[], whole: number, window: number, side: number, locality: Locality | undefined) {
  const groups = Array.from({ length: Math.ceil(starts.length / side) }, (_, i) => starts.slice(i * side, (i + 1) * side));
  const { stride, reach } = locality ?? { stride: 1, reach: whole };
  const reaches = groups.map((group) => {
    const at = Math.floor(((group[0] as number) - 2 * reach) / stride) * stride;
    return { starts: group, at, length: (group.at(-1) as number) + window + 2 * reach - at };
  });
  const needed = Math.max(...reaches.map((one) => one.length));
  // so that a part at the far edge begins on the stride too
  const length = Math.min(whole, needed + ((((whole - needed) % stride) + stride) % stride));
  return {
    length,
    intervals: reaches.map((one) => ({ starts: one.starts, at: Math.min(whole - length, Math.max(0, one.at)) })),
  };
}
