/** The picture: a row for the data, one for an untrained unit and one for each trained one. */
import { ndArray } from '@coda-nets/core';
import { drawText, emptyPicture, heatMap, paste, type Picture } from '@coda-nets/depth';
import { side } from './patterns.ts';

export interface Row {
  readonly label: string;
  /** Principal directions, or what a unit has of them; all on one scale. */
  readonly directions: readonly Float32Array[];
  /** Inputs, or the weights for them; each on its own scale. */
  readonly responses: readonly Float32Array[];
}

const tile = 5 * side;
const gap = 6;
const margin = 66;
const header = 14;
const ink = [30, 34, 42] as const;

export function drawRows(rows: readonly Row[], [left, right]: readonly [string, string]): Picture {
  const { directions = [], responses = [] } = rows[0] ?? {};
  const column = (i: number): number => margin + i * (tile + gap) + (i >= directions.length ? 3 * gap : 0);
  const picture = emptyPicture(column(directions.length + responses.length), header + rows.length * (tile + gap));
  drawText(picture, left, column(0), 3, ink);
  drawText(picture, right, column(directions.length), 3, ink);
  const scale = Math.max(...directions.flatMap((direction) => [...direction]));
  for (const [y, row] of rows.entries()) {
    const top = header + y * (tile + gap);
    drawText(picture, row.label, gap, top + tile / 2 - 3, ink);
    for (const [x, values] of [...row.directions, ...row.responses].entries()) {
      const own = x < row.directions.length ? { scale } : {};
      paste(picture, heatMap(ndArray('float32', [side, side], values), { width: tile, height: tile, ...own }), column(x), top);
    }
  }
  return picture;
}
