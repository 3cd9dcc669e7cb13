/** The best, the median and the worst grid of a model, by its first method, and the maps of all its methods for one cell of each. */
import { ndArray, type NdArray } from '@coda-nets/core';
import { attributor, mapGrid, pictureOf, tileGrid, type GridList, type MapRow, type Picture } from '@coda-nets/depth';
import { valuesOf, type ModelResult } from './depth-results.ts';
import type { DepthModel, DepthWork, PlannedMethod } from './depth-work.ts';
import { isOnePass } from './named-method.ts';

export interface DepthExample {
  readonly rank: 'best' | 'median' | 'worst';
  /** Index in the grid list. */
  readonly grid: number;
  readonly cell: number;
  readonly targetClass: number;
  /** Localisation of the cell's class by the first method at `tap`. */
  readonly score: number;
  readonly tap: string;
  /** A row for each method, a column for each tap. */
  readonly picture: Picture;
}

/** Seen on bright and dark images. */
const FRAME = [255, 210, 0] as const;
/** Of a name below a tile. */
const LETTERS = 15;
/** Pixels of a tile; grids are enlarged by whole factors. */
const TILE = 96;

/** The deepest exact tap, where a hybrid is cut; the last one where no tap is exact. */
export function referenceTap({ taps }: { readonly taps: readonly { readonly name: string; readonly exact: boolean }[] }): string {
  return (taps.find(({ exact }) => exact) ?? taps.at(-1))?.name as string;
}

export async function depthExamples(
  model: DepthModel,
  methods: readonly PlannedMethod[],
  result: ModelResult,
  gridList: GridList,
  work: DepthWork,
): Promise<readonly DepthExample[]> {
  const [first] = result.methods;
  const wanted = referenceTap(model.network);
  const tap = first?.taps.find((one) => one.tap === wanted) ?? first?.taps.at(-1);
  if (tap === undefined) return [];
  const cells = gridList.n ** 2;
  const { values } = valuesOf(tap, work.scoring);
  const meanOf = (g: number): number => values.slice(g * cells, (g + 1) * cells).reduce((sum, x) => sum + x, 0) / cells;
  const order = Array.from(gridList.grids.keys()).toSorted((a, b) => meanOf(b) - meanOf(a) || a - b);
  const places = { best: 0, median: 0.5, worst: 1 } as const;
  const chosen = (Object.keys(places) as (keyof typeof places)[]).map((rank) => {
    const at = (all: readonly number[]): number => all[Math.round(places[rank] * (all.length - 1))] as number;
    const grid = at(order);
    const cell = at(Array.from({ length: cells }, (_, k) => k).toSorted((a, b) => score(grid, b) - score(grid, a) || a - b));
    return { rank, grid, cell, score: score(grid, cell), targetClass: gridList.grids[grid]?.classes[cell] as number };
  });
  function score(grid: number, cell: number): number {
    return values[grid * cells + cell] as number;
  }
  const rows: MapRow[][] = chosen.map(() => []);
  for (const method of methods) {
    const measured = result.methods.find(({ name }) => name === method.name);
    const attribute = await attributor({ ...options(model, method, work), imageSize: gridSize(work.images, gridList.n) });
    try {
      for (const [i, { grid, cell, targetClass }] of chosen.entries()) {
        const compute = async (): Promise<StoredMaps> => {
          const { taps } = await attribute.attribute(tiled(work.images, gridList, grid), [targetClass]);
          return taps.map(({ maps }) => ({ shape: maps.shape.slice(1), data: Array.from(maps.data) }));
        };
        const key = { part: 'example', model: model.sha256, method: method.method.name, parameters: method.method.parameters };
        const grids = { data: work.split.fingerprint, taps: method.taps, images: gridList.grids[grid]?.images ?? [], targetClass };
        const maps = isOnePass(method) ? await compute() : await work.parts.once({ ...key, ...grids }, compute);
        rows[i]?.push({
          name: method.name,
          maps: maps.map(({ shape, data }, t) => {
            const scores = measured?.taps[t];
            const value = scores === undefined ? undefined : valuesOf(scores, work.scoring).values[grid * cells + cell];
            return {
              name: method.taps[t] as string,
              map: ndArray('float32', shape, Float32Array.from(data)),
              note: value === undefined ? '' : value.toFixed(3),
            };
          }),
        });
      }
    } finally {
      await attribute.dispose();
    }
  }
  return chosen.map((example, i) => {
    const { shape, data } = tiled(work.images, gridList, example.grid);
    const image = framed(pictureOf(ndArray('float32', shape.slice(1), data)), gridList.n, example.cell);
    return {
      ...example,
      tap: tap.tap,
      picture: mapGrid(image, rows[i] ?? [], { tile: TILE, label: work.classNames[example.targetClass]?.slice(0, LETTERS) ?? '' }),
    };
  });
}

/** A frame around the cell, of one pixel for each 48 of the grid's side. */
function framed(picture: Picture, n: number, cell: number): Picture {
  const { width, height } = picture;
  const data = picture.data.slice();
  const thick = Math.max(1, Math.round(width / 48));
  const [top, left] = [(Math.floor(cell / n) * height) / n, ((cell % n) * width) / n];
  const inner = (at: number, from: number, length: number): boolean => at >= from + thick && at < from + length - thick;
  for (let y = top; y < top + height / n; y++) {
    for (let x = left; x < left + width / n; x++) {
      if (!inner(y, top, height / n) || !inner(x, left, width / n)) data.set(FRAME, 4 * (y * width + x));
    }
  }
  return { width, height, data };
}

type StoredMaps = readonly { readonly shape: readonly number[]; readonly data: readonly number[] }[];

function options({ network, model: { weights } }: DepthModel, { method, taps }: PlannedMethod, { engine, signal }: DepthWork) {
  return { engine, network, weights, method, taps, signal };
}

function gridSize({ shape }: NdArray, n: number): readonly [number, number] {
  return [n * (shape[1] as number), n * (shape[2] as number)];
}

/** [1, n·H, n·W, 3] */
function tiled(images: NdArray<'float32'>, gridList: GridList, grid: number): NdArray<'float32'> {
  const { shape, data } = tileGrid(images, gridList.grids[grid] as GridList['grids'][number]);
  return ndArray('float32', [1, ...shape], data);
}
