/**
 * Text in pictures, in capitals of 5×7 dots drawn for this project: pictures must look the same on a machine without fonts.
 * A character it lacks becomes a box.
 */
import { type Colour, type Picture } from './picture.ts';

const GLYPH_WIDTH = 5;
export const GLYPH_HEIGHT = 7;
/** Dots from one character to the next. */
const ADVANCE = GLYPH_WIDTH + 1;

/** Seven rows of five dots each, a base-32 digit a row, the leftmost dot the highest bit. */
const GLYPHS: Readonly<Record<string, string>> = {
  A: 'ehhvhhh',
  B: 'uhhuhhu',
  C: 'ehggghe',
  D: 'uhhhhhu',
  E: 'vgguggv',
  F: 'vgguggg',
  G: 'ehgnhhf',
  H: 'hhhvhhh',
  I: 'e44444e',
  J: '72222ic',
  K: 'hikokih',
  L: 'ggggggv',
  M: 'hrllhhh',
  N: 'hhpljhh',
  O: 'ehhhhhe',
  P: 'uhhuggg',
  Q: 'ehhhlid',
  R: 'uhhukih',
  S: 'fgge11u',
  T: 'v444444',
  U: 'hhhhhhe',
  V: 'hhhhha4',
  W: 'hhhllla',
  X: 'hha4ahh',
  Y: 'hhha444',
  Z: 'v1248gv',
  0: 'ehjlphe',
  1: '4c4444e',
  2: 'eh1248v',
  3: 'v2421he',
  4: '26aiv22',
  5: 'vgu11he',
  6: '68guhhe',
  7: 'v124888',
  8: 'ehhehhe',
  9: 'ehhf12c',
  ' ': '0000000',
  '.': '00000cc',
  ',': '000cc48',
  ':': '0cc0cc0',
  '-': '000v000',
  _: '000000v',
  '+': '044v440',
  '=': '00v0v00',
  '/': '01248g0',
  '%': 'op248j3',
  '(': '2488842',
  ')': '8422248',
  '×': '0ha4ah0',
  '·': '00cc000',
};
const BOX = 'vhhhhhv';

/** Width in dots of `text` on one line. */
export function textWidth(text: string): number {
  return Math.max(0, Array.from(text).length * ADVANCE - 1);
}

/** `text`, cut to `width` dots with two dots at its end where it was longer. */
export function fitText(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  const room = Math.max(0, Math.floor((width + 1) / ADVANCE) - 2);
  return `${Array.from(text).slice(0, room).join('')}..`;
}

/** Draws one line with its upper left dot at (left, top); what lies outside of the picture is not drawn. */
export function drawText(into: Picture, text: string, left: number, top: number, colour: Colour): void {
  for (const [i, character] of Array.from(text.toUpperCase()).entries()) {
    const glyph = GLYPHS[character] ?? BOX;
    for (let y = 0; y < GLYPH_HEIGHT; y++) {
      const row = Number.parseInt(glyph[y] as string, 32);
      for (let x = 0; x < GLYPH_WIDTH; x++) {
        if (((row >> (GLYPH_WIDTH - 1 - x)) & 1) === 0) continue;
        const [u, v] = [left + i * ADVANCE + x, top + y];
        if (u < 0 || v < 0 || u >= into.width || v >= into.height) continue;
        into.data.set([...colour, 255], 4 * (v * into.width + u));
      }
    }
  }
}
