/** Pictures of one size in rows and columns, each with lines of text below it. Knows nothing of maps; `strip` and `mapGrid` are made of it. */
import { CodaError } from '@coda-nets/core';
import { drawText, fitText, GLYPH_HEIGHT } from './draw-text.ts';
import { emptyPicture, paste, type Colour, type Picture } from './picture.ts';

export interface Captioned {
  readonly picture: Picture;
  /** Cut to the picture's width. */
  readonly lines: readonly { readonly text: string; readonly colour?: Colour }[];
}

const GAP = 6;
const LINE = GLYPH_HEIGHT + 4;
const INK: Colour = [30, 34, 42];

/** Rows may be of different lengths; a place may be left empty. Throws a CodaError for pictures of different sizes, or none. */
export function contactSheet(rows: readonly (readonly (Captioned | undefined)[])[]): Picture {
  const all = rows.flat().filter((one) => one !== undefined);
  const { width = 0, height = 0 } = all[0]?.picture ?? {};
  const other = all.find(({ picture }) => picture.width !== width || picture.height !== height);
  if (all.length === 0 || other !== undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'contactSheet',
      problem: 'not pictures of one size',
      expected: all.length === 0 ? 'at least one' : `${width}×${height}`,
      got: other === undefined ? 'none' : `${other.picture.width}×${other.picture.height}`,
    });
  }
  const lines = Math.max(...all.map((one) => one.lines.length));
  const columns = Math.max(...rows.map((row) => row.length));
  const cell = { width: width + GAP, height: height + lines * LINE + GAP };
  const sheet = emptyPicture(GAP + columns * cell.width, GAP + rows.length * cell.height);
  for (const [y, row] of rows.entries()) {
    for (const [x, one] of row.entries()) {
      if (one === undefined) continue;
      const [left, top] = [GAP + x * cell.width, GAP + y * cell.height];
      paste(sheet, one.picture, left, top);
      for (const [i, { text, colour = INK }] of one.lines.entries()) {
        drawText(sheet, fitText(text, width), left, top + height + 4 + i * LINE, colour);
      }
    }
  }
  return sheet;
}
