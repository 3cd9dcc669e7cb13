import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { ndArray } from '@coda-nets/core';
import { expectClose, randomValues } from '@coda-nets/tools/testkit';
import type { Explanation } from '../src/explainer.ts';
import {
  divergingColour,
  emptyPicture,
  encodePng,
  encodeGif,
  contactSheet,
  enlarged,
  heatMap,
  heatMapScale,
  linearMapPicture,
  mapGrid,
  overlay,
  paste,
  pictureOf,
  resizeMap,
  sharedScale,
  strip,
  type Picture,
} from '../src/index.ts';
import { boxMean } from '../src/render/box-mean.ts';
import { drawText, fitText, textWidth } from '../src/render/draw-text.ts';
import { absolutePercentile } from '../src/render/percentile.ts';

const RED = [168, 12, 40];
const BLUE = [16, 58, 148];
const WHITE = [255, 255, 255];

const map = (shape: [number, number], ...values: number[]) => ndArray('float32', shape, Float32Array.from(values));
const pixel = ({ data, width }: Picture, x: number, y: number, channels = 3): number[] =>
  Array.from(data.slice(4 * (y * width + x), 4 * (y * width + x) + channels));

describe('divergingColour', () => {
  test('is blue, white and red at −1, 0 and 1, and clamps beyond', () => {
    expect([-1, 0, 1].map(divergingColour)).toEqual([BLUE, WHITE, RED]);
    expect([-7, 7].map(divergingColour)).toEqual([BLUE, RED]);
  });

  test('gets darker with magnitude, on either side', () => {
    for (const sign of [-1, 1]) {
      const sums = Array.from({ length: 101 }, (_, i) => divergingColour((sign * i) / 100).reduce((a, b) => a + b, 0));
      for (let i = 1; i < sums.length; i++) expect(sums[i]).toBeLessThan(sums[i - 1] as number);
    }
  });
});

describe('heatMap', () => {
  test('one pixel: that one red, all others white', () => {
    const picture = heatMap(map([2, 3], 0, 0, 0, 0, 5, 0));
    expect([picture.width, picture.height]).toEqual([3, 2]);
    for (let y = 0; y < 2; y++) {
      for (let x = 0; x < 3; x++) expect(pixel(picture, x, y, 4)).toEqual([...(x === 1 && y === 1 ? RED : WHITE), 255]);
    }
  });

  test('a uniform map is red all over, an all negative one blue, zeros are white', () => {
    expect(new Set(heatMap(map([2, 2], 3, 3, 3, 3)).data)).toEqual(new Set([...RED, 255]));
    expect(new Set(heatMap(map([2, 2], -3, -3, -3, -3)).data)).toEqual(new Set([...BLUE, 255]));
    expect(new Set(heatMap(map([2, 2], 0, 0, 0, 0)).data)).toEqual(new Set([255]));
  });

  test('a transposed map is a transposed picture', () => {
    const picture = heatMap(map([2, 3], 1, 2, 3, -4, -5, 6));
    const transposed = heatMap(map([3, 2], 1, -4, 2, -5, 3, 6));
    expect(transposed.data).not.toEqual(picture.data);
    for (let y = 0; y < 2; y++) for (let x = 0; x < 3; x++) expect(pixel(transposed, y, x)).toEqual(pixel(picture, x, y));
  });

  test('the scale is symmetric: half of the largest magnitude is half colour, whatever its sign', () => {
    const picture = heatMap(map([1, 4], -10, 5, -5, 10), { percentile: 100 });
    expect(pixel(picture, 0, 0)).toEqual(BLUE);
    expect(pixel(picture, 1, 0)).toEqual(divergingColour(0.5));
    expect(pixel(picture, 2, 0)).toEqual(divergingColour(-0.5));
    expect(pixel(picture, 3, 0)).toEqual(RED);
  });

  test('the percentile lets outliers saturate, and a scale that is given stands', () => {
    const values = Array.from({ length: 100 }, (_, i) => (i === 99 ? 1000 : 1));
    expect(heatMapScale(map([10, 10], ...values), 90)).toBe(1);
    expect(pixel(heatMap(map([10, 10], ...values), { percentile: 90 }), 0, 0)).toEqual(RED);
    expect(pixel(heatMap(map([1, 1], 1), { scale: 2 }), 0, 0)).toEqual(divergingColour(0.5));
  });

  test('refuses what is not a map or a scale', () => {
    expect(() => heatMap(ndArray('float32', [2, 2, 1], new Float32Array(4)))).toThrow(
      'heatMap: map: not a map; expected shape [h, w], got [2, 2, 1]',
    );
    expect(() => heatMap(map([2, 2], 0, 0, 0, Number.NaN))).toThrow(
      'heatMap: map: the value at [1, 1] cannot be drawn; expected finite numbers, got NaN',
    );
    expect(() => heatMap(map([1, 1], 1), { scale: 0 })).toThrow('heatMap: scale: not a scale; expected a finite number above 0, got 0');
    expect(() => heatMap(map([1, 1], 1), { width: 0 })).toThrow(
      'picture: size: not the size of a picture; expected whole sides from 1 to 16384, got 0×1',
    );
    expect(() => absolutePercentile([1], 101)).toThrow(
      'absolutePercentile: percent: not a percentile; expected a number from 0 to 100, got 101',
    );
  });
});

describe('resizeMap', () => {
  test('nearest repeats, and puts the map right way up', () => {
    expect([...resizeMap(map([2, 2], 1, 2, 3, 4), 4, 4, 'nearest').data]).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
  });

  test('bilinear equals values worked out by hand, with half-pixel centres', () => {
    // Centres of the 4 lie at −¼, ¼, ¾, 5⁄4 of the 2.
    expect([...resizeMap(map([1, 2], 0, 4), 1, 4).data]).toEqual([0, 1, 3, 4]);
    expect([...resizeMap(map([2, 1], 0, 4), 4, 1).data]).toEqual([0, 1, 3, 4]);
    expectClose(resizeMap(map([2, 2], 0, 4, 8, 12), 4, 4).data.slice(4, 8), [2, 3, 5, 6], {});
  });

  test('the same size changes nothing', () => {
    const values = randomValues(35, 3);
    for (const how of ['nearest', 'bilinear'] as const) {
      expect(resizeMap(ndArray('float32', [5, 7], values), 5, 7, how).data).toEqual(values);
    }
  });
});

test("absolutePercentile is NumPy's, of magnitudes", () => {
  // numpy.percentile([1, 2, 3, 10], 75) is 4.75.
  expect(absolutePercentile([-10, 2, -3, 1], 75)).toBe(4.75);
  expect(absolutePercentile([], 75)).toBe(0);
});

describe('overlay', () => {
  const image = pictureOf(ndArray('float32', [2, 2, 3], Float32Array.from([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1])));

  test('shows the image in grey where there is no contribution', () => {
    const picture = overlay(image, map([2, 2], 0, 0, 0, 0));
    // ¼ + ¾·luma, in bytes.
    expect([0, 1].flatMap((y) => [0, 1].map((x) => pixel(picture, x, y)[0]))).toEqual([104, 201, 78, 255]);
    for (let p = 0; p < 4; p++) expect(new Set(picture.data.slice(4 * p, 4 * p + 3)).size).toBe(1);
  });

  test('has red where a pixel speaks for the class, blue where against it', () => {
    const picture = overlay(image, map([2, 2], 1, 0, 0, -1), { opacity: 1, interpolation: 'nearest' });
    expect(pixel(picture, 0, 0)).toEqual(RED);
    expect(pixel(picture, 1, 1)).toEqual(BLUE);
  });
});

describe('linearMapPicture', () => {
  const draw = (w: number[], s: number[], options = {}): Picture =>
    linearMapPicture(ndArray('float32', [1, s.length, 6], Float32Array.from(w)), map([1, s.length], ...s), {
      smooth: 1,
      percentile: 100,
      ...options,
    });

  test('known colours: red, yellow, white, black', () => {
    const picture = draw(
      [
        [2, 0, 0, 0, 2, 2],
        [2, 2, 0, 0, 0, 2],
        [2, 2, 2, 0, 0, 0],
        [0, 0, 0, 2, 2, 2],
      ].flat(),
      [1, 1, 1, 1],
    );
    expect([0, 1, 2, 3].map((x) => pixel(picture, x, 0))).toEqual([
      [255, 0, 0],
      [255, 255, 0],
      [255, 255, 255],
      [0, 0, 0],
    ]);
  });

  test('a colour is the share of the bright channel among positive weights', () => {
    // 3/(3+1) → 191; a negative weight counts as 0; where both are negative there is no colour.
    expect(pixel(draw([3, 2, -1, 1, -2, -1], [1]), 0, 0)).toEqual([191, 255, 128]);
  });

  test('colour does not depend on the length of the vector, alpha is proportional to it', () => {
    const picture = draw(
      [
        [4, 0, 0, 0, 4, 4],
        [1, 0, 0, 0, 1, 1],
        [1e-30, 0, 0, 0, 1e-30, 1e-30],
      ].flat(),
      [1, 1, 1],
    );
    expect([0, 1, 2].map((x) => pixel(picture, x, 0))).toEqual([RED, RED, RED].map(() => [255, 0, 0]));
    expect([0, 1, 2].map((x) => pixel(picture, x, 0, 4)[3])).toEqual([255, 64, 0]);
  });

  test('a negative contribution is transparent', () => {
    const picture = draw(
      [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
      ].flat(),
      [-0.1, 0.1],
    );
    expect([0, 1].map((x) => pixel(picture, x, 0, 4)[3])).toEqual([0, 255]);
  });

  test('alpha is the box mean, with zeros outside', () => {
    // Norms 0, 0, 9, 0, 0 → means over three 0, 3, 3, 3, 0 → scaled to 255; for a box on one row the other two rows are zeros.
    const w = Array.from({ length: 30 }, (_, i) => (i === 12 ? 9 : 0));
    const picture = draw(w, [0, 0, 1, 0, 0], { smooth: 3 });
    expect([0, 1, 2, 3, 4].map((x) => pixel(picture, x, 0, 4)[3])).toEqual([0, 255, 255, 255, 0]);
    const uniform = linearMapPicture(
      ndArray('float32', [3, 3, 6], new Float32Array(54).fill(1)),
      map([3, 3], ...Array.from({ length: 9 }, () => 1)),
      { smooth: 3, percentile: 100 },
    );
    // 4, 6 and 9 of 9 places lie inside.
    expect([0, 1].flatMap((y) => [0, 1].map((x) => pixel(uniform, x, y, 4)[3]))).toEqual([113, 170, 170, 255]);
  });

  test('refuses other shapes by name', () => {
    expect(() => linearMapPicture(ndArray('float32', [1, 1, 3], new Float32Array(3)), map([1, 1], 0))).toThrow(
      'linearMapPicture: linearMap: wrong shape; expected [H, W, 6], got [1, 1, 3]',
    );
    expect(() => linearMapPicture(ndArray('float32', [1, 1, 6], new Float32Array(6)), map([2, 1], 0, 0))).toThrow(
      'linearMapPicture: contributions: wrong shape; expected [1, 1], got [2, 1]',
    );
    expect(() => draw([0, 0, 0, 0, 0, 0], [0], { smooth: 2 })).toThrow(
      'linearMapPicture: smooth: not the side of a box with a middle; expected an odd whole number, got 2',
    );
  });
});

describe('pictures', () => {
  test('pictureOf rounds and clamps', () => {
    const picture = pictureOf(ndArray('float32', [1, 2, 3], Float32Array.from([0, 0.5, 1, -1, 2, Number.NaN])));
    expect([...picture.data]).toEqual([0, 128, 255, 255, 0, 255, 0, 255]);
    expect(() => pictureOf(ndArray('float32', [1, 1, 4], new Float32Array(4)))).toThrow(
      'pictureOf: image: not an image; expected shape [H, W, 3], got [1, 1, 4]',
    );
  });

  test('enlarged repeats each pixel', () => {
    const picture = enlarged({ width: 2, height: 1, data: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]) }, 2);
    expect([picture.width, picture.height]).toEqual([4, 2]);
    expect([...picture.data]).toEqual([1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8]);
  });

  test('paste blends by alpha', () => {
    const into = emptyPicture(2, 1, [0, 0, 0]);
    paste(into, { width: 1, height: 1, data: Uint8Array.from([200, 100, 0, 51]) }, 1, 0);
    expect([...into.data]).toEqual([0, 0, 0, 255, 40, 20, 0, 255]);
  });

  test('PNG bytes hold the very pixels, and are the same each time', async () => {
    const picture: Picture = { width: 5, height: 3, data: Uint8Array.from(randomValues(60, 5, { min: 0, max: 256 })) };
    const png = await encodePng(picture);
    expect(Array.from(png.subarray(0, 8))).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([5, 3, 4]);
    expect([...data]).toEqual([...picture.data]);
    expect(await encodePng(picture)).toEqual(png);
  });
});

describe('text and strip', () => {
  const shape = (text: string): string => {
    const picture = emptyPicture(5, 7);
    drawText(picture, text, 0, 0, [0, 0, 0]);
    return Array.from({ length: 7 }, (_, y) =>
      Array.from({ length: 5 }, (_, x) => (pixel(picture, x, y)[0] === 0 ? '#' : '.')).join(''),
    ).join('\n');
  };

  test('characters have the shapes they should, each its own', () => {
    expect(shape('L')).toBe(['#....', '#....', '#....', '#....', '#....', '#....', '#####'].join('\n'));
    expect(shape('7')).toBe(['#####', '....#', '...#.', '..#..', '.#...', '.#...', '.#...'].join('\n'));
    expect(shape('e')).toBe(shape('E'));
    const all = Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:-_+=/%()×·é', shape);
    expect(new Set(all).size).toBe(all.length);
  });

  test('text that is too long is cut', () => {
    expect(textWidth('ABC')).toBe(17);
    expect(fitText('ABC', 17)).toBe('ABC');
    expect(fitText('ABCDEF', 23)).toBe('AB..');
    expect(textWidth(fitText('ABCDEF', 23))).toBeLessThanOrEqual(23);
  });

  test('the image, then a tile a tap; exact and gradient × activation are told apart', () => {
    const tap = (exact: boolean, value: number) => ({ name: 'a', exact, map: map([1, 1], value), sum: 1, expected: 1, residual: 1e-7 });
    const explanation: Explanation = {
      logits: ndArray('float32', [1], Float32Array.of(1)),
      probabilities: ndArray('float32', [1], Float32Array.of(0.5)),
      target: 0,
      logit: 1,
      probability: 0.5,
      taps: [tap(false, -2), tap(true, 3)],
    };
    const picture = strip(emptyPicture(4, 4, [9, 9, 9]), explanation, { tile: 64, label: 'cat' });
    expect([picture.width, picture.height]).toEqual([6 + 3 * 70, 6 + 64 + 22 + 6]);
    expect([0, 1, 2].map((i) => pixel(picture, 6 + i * 70 + 32, 38))).toEqual([[9, 9, 9], BLUE, RED]);
    const inks = (left: number): Set<string> => {
      const colours = new Set<string>();
      for (let y = 80; y < picture.height; y++) for (let x = left; x < left + 64; x++) colours.add(pixel(picture, x, y).join());
      return colours;
    };
    expect(inks(6 + 70)).toEqual(new Set(['255,255,255', '150,84,0', '30,34,42']));
    expect(inks(6 + 140)).toEqual(new Set(['255,255,255', '16,110,70', '30,34,42']));
    expect(strip(emptyPicture(4, 4, [9, 9, 9]), explanation, { tile: 64, label: 'cat' })).toEqual(picture);
  });
});

describe('several maps', () => {
  const [small, large] = [map([1, 2], 0, 1), map([1, 2], 0, 4)];

  test('share a scale where they are to compare', () => {
    expect(sharedScale([small, large], 100)).toBe(4);
    const image = emptyPicture(2, 1);
    const rows = [
      {
        name: 'method',
        maps: [
          { name: 'a', map: small },
          { name: 'b', map: large, note: 'x' },
        ],
      },
    ];
    // tiles of 2 × 1 and a gap of 6: the right pixels of the two maps
    const rightPixels = (picture: Picture): number[][] => [pixel(picture, 6 + 8 + 1, 6), pixel(picture, 6 + 16 + 1, 6)];
    expect(rightPixels(mapGrid(image, rows, { tile: 1, percentile: 100 }))).toEqual([RED, RED]);
    expect(rightPixels(mapGrid(image, rows, { tile: 1, percentile: 100, scale: 'row' }))).toEqual([[...divergingColour(0.25)], RED]);
  });

  test('a sheet leaves empty places white and refuses pictures of two sizes', () => {
    const one = { picture: emptyPicture(3, 2, [9, 9, 9]), lines: [] };
    const sheet = contactSheet([[undefined, one], [one]]);
    expect([sheet.width, sheet.height]).toEqual([6 + 2 * 9, 6 + 2 * 8]);
    expect([pixel(sheet, 6, 6), pixel(sheet, 15, 6), pixel(sheet, 6, 14), pixel(sheet, 15, 14)]).toEqual([
      WHITE,
      [9, 9, 9],
      [9, 9, 9],
      WHITE,
    ]);
    expect(() => contactSheet([[one, { ...one, picture: emptyPicture(2, 2) }]])).toThrow(
      'contactSheet: not pictures of one size; expected 3×2, got 2×2',
    );
    expect(() => contactSheet([])).toThrow('contactSheet: not pictures of one size; expected at least one, got none');
  });

  test('frames become a GIF that plays them in order', async () => {
    const frames = [small, large].map((frame) => heatMap(frame, { scale: 4, width: 8, height: 4 }));
    const gif = await encodeGif(frames, { delay: 40 });
    expect(await sharp(gif, { animated: true }).metadata()).toMatchObject({
      format: 'gif',
      pages: 2,
      pageHeight: 4,
      width: 8,
      delay: [40, 40],
      loop: 0,
    });
    for (const [page, frame] of frames.entries()) {
      const { data } = await sharp(gif, { page }).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
      expectClose(Float32Array.from(data), Float32Array.from(frame.data), { atol: 8 });
    }
    expect(await encodeGif(frames, { delay: 40 })).toEqual(gif);
    await expect(encodeGif([])).rejects.toThrow('encodeGif: frames: not pictures of one size; expected at least one, got none');
    await expect(encodeGif([emptyPicture(1, 2), emptyPicture(2, 1)])).rejects.toThrow('expected 1×2, got 2×1');
  });
});

test('a box mean is what loops say', () => {
  const [height, width, side] = [5, 7, 3];
  const values = randomValues(height * width, 4);
  const slow = Float64Array.from(values, (_, p) => {
    const [y, x] = [Math.floor(p / width), p % width];
    let sum = 0;
    for (let v = y - 1; v <= y + 1; v++)
      for (let u = x - 1; u <= x + 1; u++) if (v >= 0 && u >= 0 && v < height && u < width) sum += values[v * width + u] as number;
    return sum / side ** 2;
  });
  expectClose(boxMean(values, height, width, side), slow, { rtol: 1e-12, atol: 1e-12 });
});
