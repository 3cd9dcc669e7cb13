/**
 * How well each tap explains the output: localisation in grids, completeness and negative mass of one method at every tap. For a formula of
 * activation and gradient each grid takes one forward and one backward pass for each of its n² classes, all taps together.
 */
import { ndArray, type NdArray } from '@coda-nets/core';
import { attributor, type AttributorOptions } from './attributor.ts';
import { cellClass, separateCells } from './grids/separate-cells.ts';
import type { GridList } from './grids/grid-list.ts';
import { tileGrid } from './grids/tile-grid.ts';
import { completenessResidual } from './metrics/completeness.ts';
import { gridLocalisation, poolDivides } from './metrics/grid-localisation.ts';
import { negativeMass } from './metrics/negative-mass.ts';

export interface DepthProfileOptions extends Omit<AttributorOptions, 'imageSize'> {
  /** [N, H, W, 3]: what the grids take their images from. */
  readonly images: NdArray<'float32'>;
  readonly gridList: GridList;
  /** `whole`: the network sees the grid. `difull`: each cell goes through it alone (the control, `separateCells`). Default whole. */
  readonly setting?: 'whole' | 'difull';
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

export async function depthProfile(options: DepthProfileOptions): Promise<DepthProfile> {
  const { network, images, gridList, method, setting = 'whole', onProgress, ...rest } = options;
  const { n, grids } = gridList;
  const [, height = 0, width = 0] = images.shape;
  const gridSize = [n * height, n * width] as const;
  const measured = setting === 'whole' ? network : separateCells(network, n);
  const attribute = await attributor({ ...rest, network: measured, method, imageSize: gridSize });
  const profiles = new Map<string, MutableProfile>();
  try {
    for (const [done, grid] of grids.entries()) {
      onProgress?.(done, grids.length);
      const targets = grid.classes.map((c, cell) => (setting === 'whole' ? c : cellClass(network, cell, c)));
      const { taps, expected } = await attribute.attribute(ndArray('float32', [1, ...gridSize, 3], tileGrid(images, grid).data), targets);
      for (const { name, exact, maps } of taps) {
        const [, h = 0, w = 0] = maps.shape;
        const known = profiles.get(name) ?? {
          name,
          exact,
          size: [h, w],
          pool: poolDivides([h, w], n) ? [] : null,
          upsample: [],
          residual: [],
          negativeMass: [],
        };
        profiles.set(name, known);
        for (let cell = 0; cell < n * n; cell++) {
          const map = ndArray('float32', [h, w], maps.data.subarray(cell * h * w, (cell + 1) * h * w));
          known.pool?.push(gridLocalisation(map, { n, cell, scoring: 'pool' }));
          known.upsample.push(gridLocalisation(map, { n, cell, scoring: 'upsample', gridSize }));
          known.residual.push(completenessResidual(map, expected[cell] as number, network.logitBias));
          known.negativeMass.push(negativeMass(map));
        }
      }
    }
  } finally {
    await attribute.dispose();
  }
  onProgress?.(grids.length, grids.length);
  const taps = [...profiles.values()].map(({ pool, upsample, ...tap }): TapProfile => ({ ...tap, localisation: { pool, upsample } }));
  return { method: { name: method.name, parameters: method.parameters }, setting, gridList, taps };
}

interface MutableProfile {
  readonly name: string;
  readonly exact: boolean;
  readonly size: readonly [number, number];
  readonly pool: number[] | null;
  readonly upsample: number[];
  readonly residual: number[];
  readonly negativeMass: number[];
}
