/**
 * How well each tap explains the output: localisation in grids, completeness and negative mass of one method at every tap. For a formula of
 * activation and gradient each grid takes one forward and one backward pass for each of its n² classes, all taps together.
 */
import { CodaError, ndArray, type NdArray } from '@coda-nets/core';
import { attributor, type AttributorOptions, type TapMaps } from './attributor.ts';
import { cellClass, separateCells } from './grids/separate-cells.ts';
import type { Grid, GridList } from './grids/grid-list.ts';
import { tileGrid } from './grids/tile-grid.ts';
import { jointAttributor } from './joint-attributor.ts';
import type { OnePassMethod } from './methods/method.ts';
import { completenessResidual } from './metrics/completeness.ts';
import { gridLocalisation, poolDivides } from './metrics/grid-localisation.ts';
import { negativeMass } from './metrics/negative-mass.ts';

export interface DepthProfilerOptions extends Omit<AttributorOptions, 'imageSize'> {
  /** [N, H, W, 3]: what the grids take their images from. */
  readonly images: NdArray<'float32'>;
  /** Cells along each side of the grids. */
  readonly n: number;
  /** `whole`: the network sees the grid. `difull`: each cell goes through it alone (the control, `separateCells`). Default whole. */
  readonly setting?: 'whole' | 'difull';
  /** Side of a box in pixels, over which maps are averaged before they are scored (at a tap, so many positions as cover it). Default 1. */
  readonly smooth?: number;
}

export interface DepthProfileOptions extends Omit<DepthProfilerOptions, 'n'> {
  readonly gridList: GridList;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Values stand grid by grid, in each cell by cell: entry g·n² + k is cell k of grid g. */
export type TapProfile = {
  readonly name: string;
  /** Whether the maps are contributions that sum to z − b₀ by construction; else residuals only say how far off they are. */
  readonly exact: boolean;
  /** [h, w] of the maps. */
  readonly size: readonly [number, number];
  /** `pool` is null where the map does not divide into the cells. */
  readonly localisation: { readonly pool: readonly number[] | null; readonly upsample: readonly number[] };
  readonly residual: readonly number[];
  readonly negativeMass: readonly number[];
};

/** JSON-able. */
export type DepthProfile = {
  readonly method: { readonly name: string; readonly parameters: AttributorOptions['method']['parameters'] };
  readonly setting: 'whole' | 'difull';
  readonly gridList: GridList;
  /** From the input to the output. */
  readonly taps: readonly TapProfile[];
};

export interface DepthProfiler {
  /** The taps of one grid after another; rejects with the signal's reason where it is aborted. */
  measure(grids: readonly Grid[], onGrid?: (done: number) => void): Promise<readonly TapProfile[]>;
  dispose(): Promise<void>;
}

export interface JointDepthProfilerOptions extends Omit<DepthProfilerOptions, 'method' | 'onShare'> {
  readonly methods: readonly OnePassMethod[];
}

export interface JointDepthProfiler {
  /** For each method, in their order, what `DepthProfiler.measure` gives. */
  measure(grids: readonly Grid[], onGrid?: (done: number) => void): Promise<readonly (readonly TapProfile[])[]>;
  dispose(): Promise<void>;
}

/** Compiled once, for any number of grids: who measures in parts joins them by `joinTapProfiles`. `dispose` it when done. */
export async function depthProfiler(options: DepthProfilerOptions): Promise<DepthProfiler> {
  const { method } = options;
  if ('formula' in method) {
    const joint = await jointDepthProfiler({ ...options, methods: [method] });
    const measure: DepthProfiler['measure'] = async (grids, onGrid) => (await joint.measure(grids, onGrid))[0] as readonly TapProfile[];
    return { ...joint, measure };
  }
  const { network, gridSize } = measuredNetwork(options);
  const attribute = await attributor({ ...options, network, imageSize: gridSize });
  return {
    measure: async (grids, onGrid) => {
      const parts = await gridByGrid(grids, options, onGrid, async (tiled, targets) => {
        const { taps, expected } = await attribute.attribute(tiled, targets);
        return scored(taps, expected, options);
      });
      return joinTapProfiles(parts);
    },
    dispose: () => attribute.dispose(),
  };
}

/** Several one-pass methods in the passes of one (see `jointAttributor`). `dispose` it when done. */
export async function jointDepthProfiler(options: JointDepthProfilerOptions): Promise<JointDepthProfiler> {
  const { network, gridSize } = measuredNetwork(options);
  const attribute = await jointAttributor({ ...options, network, imageSize: gridSize });
  return {
    measure: async (grids, onGrid) => {
      const parts = await gridByGrid(grids, options, onGrid, async (tiled, targets) => {
        const { methods, expected } = await attribute.attribute(tiled, targets);
        return methods.map((taps) => scored(taps, expected, options));
      });
      return options.methods.map((_, m) => joinTapProfiles(parts.map((part) => part[m] as readonly TapProfile[])));
    },
    dispose: () => attribute.dispose(),
  };
}

type MeasuredOn = Pick<DepthProfilerOptions, 'network' | 'images' | 'n' | 'setting' | 'smooth' | 'signal'>;

function measuredNetwork({ network, images, n, setting = 'whole' }: MeasuredOn) {
  const [, height = 0, width = 0] = images.shape;
  return { network: setting === 'whole' ? network : separateCells(network, n), gridSize: [n * height, n * width] as const };
}

/** What `measure` makes of each grid and the class of each of its cells. */
async function gridByGrid<T>(
  grids: readonly Grid[],
  options: MeasuredOn,
  onGrid: ((done: number) => void) | undefined,
  measure: (tiled: NdArray<'float32'>, targets: readonly number[]) => Promise<T>,
): Promise<readonly T[]> {
  const { network, images, setting = 'whole', signal } = options;
  const { gridSize } = measuredNetwork(options);
  const parts: T[] = [];
  for (const grid of grids) {
    signal?.throwIfAborted();
    const targets = grid.classes.map((c, cell) => (setting === 'whole' ? c : cellClass(network, cell, c)));
    parts.push(await measure(ndArray('float32', [1, ...gridSize, 3], tileGrid(images, grid).data), targets));
    onGrid?.(parts.length);
  }
  return parts;
}

/** The n² maps of each tap of one grid, one for the class of each cell. */
function scored(taps: readonly TapMaps[], expected: Float32Array, options: MeasuredOn): readonly TapProfile[] {
  const { network, n, smooth = 1 } = options;
  const { gridSize } = measuredNetwork(options);
  return taps.map(({ name, exact, maps }) => {
    const [, h = 0, w = 0] = maps.shape;
    const mapOf = (cell: number): NdArray<'float32'> => ndArray('float32', [h, w], maps.data.subarray(cell * h * w, (cell + 1) * h * w));
    const each = (value: (map: NdArray<'float32'>, cell: number) => number): number[] =>
      Array.from(expected, (_, cell) => value(mapOf(cell), cell));
    const pooled = { n, scoring: 'pool', smooth: boxOf(smooth, h, gridSize[0]) } as const;
    const pool = poolDivides([h, w], n) ? each((map, cell) => gridLocalisation(map, { ...pooled, cell })) : null;
    // at the grid's own size the two are one
    const same = pool !== null && h === gridSize[0] && w === gridSize[1];
    const upsample = same ? pool : each((map, cell) => gridLocalisation(map, { n, cell, scoring: 'upsample', gridSize, smooth }));
    return {
      name,
      exact,
      size: [h, w] as const,
      localisation: { pool, upsample },
      residual: each((map, cell) => completenessResidual(map, expected[cell] as number, network.logitBias)),
      negativeMass: each((map) => negativeMass(map)),
    };
  });
}

export async function depthProfile(options: DepthProfileOptions): Promise<DepthProfile> {
  const { gridList, onProgress, ...rest } = options;
  const { method, setting = 'whole' } = rest;
  const profiler = await depthProfiler({ ...rest, n: gridList.n });
  try {
    onProgress?.(0, gridList.grids.length);
    const taps = await profiler.measure(gridList.grids, (done) => onProgress?.(done, gridList.grids.length));
    return { method: { name: method.name, parameters: method.parameters }, setting, gridList, taps };
  } finally {
    await profiler.dispose();
  }
}

/** Profiles of the same taps over one part of the grids after another. Throws a CodaError for others. */
export function joinTapProfiles(parts: readonly (readonly TapProfile[])[]): readonly TapProfile[] {
  const [first = []] = parts;
  return first.map((tap, i) => {
    const same = parts.map((part) => {
      const one = part[i];
      if (one === undefined || one.name !== tap.name || one.size.join() !== tap.size.join()) throw notTheSame(tap, one);
      return one;
    });
    const joined = (values: (one: TapProfile) => readonly number[]): readonly number[] => same.flatMap(values);
    const pool = tap.localisation.pool === null ? null : joined(({ localisation }) => localisation.pool as readonly number[]);
    return {
      ...tap,
      localisation: { pool, upsample: joined(({ localisation }) => localisation.upsample) },
      residual: joined(({ residual }) => residual),
      negativeMass: joined((one) => one.negativeMass),
    };
  });
}

/** The odd number of positions, of h that cover `pixels`, whose box is nearest to a box of `smooth` pixels from below. */
function boxOf(smooth: number, h: number, pixels: number): number {
  return 2 * Math.floor((smooth * h) / pixels / 2) + 1;
}

function notTheSame({ name, size }: TapProfile, other?: TapProfile): CodaError {
  return new CodaError({
    kind: 'argument',
    where: 'joinTapProfiles',
    problem: 'parts of different taps',
    expected: `${name} [${size.join(', ')}]`,
    got: other === undefined ? 'none' : `${other.name} [${other.size.join(', ')}]`,
  });
}
