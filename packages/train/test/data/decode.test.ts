/** Decoding against Pillow: sizes and crops, and files that are not as they should be. */
import { readFileSync } from 'node:fs';
import { Random } from '@coda-nets/core';
import sharp from 'sharp';
import { describe, expect, it, test } from 'vitest';
import { decodeBox, decodeImage, decodeScaled } from '../../src/data/decode-image.ts';

interface Shown {
  readonly name: string;
  readonly height: number;
  readonly width: number;
  readonly pixels?: string;
}
const golden = JSON.parse(readFileSync(new URL('../golden/images.json', import.meta.url), 'utf8')) as {
  readonly files: readonly (Shown & { readonly bytes: string })[];
  readonly crops: { readonly png: string; readonly made: readonly Shown[] };
};
/** Decoders of JPEG may round a level apart; CMYK has no one way to RGB: Pillow multiplies, a colour profile is more like print. */
const MEAN_LEVELS: Readonly<Record<string, number>> = { 'cmyk.jpg': 40, jpg: 0.5, png: 0, webp: 0 };
/** Two bilinear filters with anti-aliasing: they round intermediate rows, and place their taps, each its own way. */
const RESIZED_MEAN_LEVELS = 1.5;

function meanDifference(got: Uint8Array, pixels: string): number {
  const expected = Buffer.from(pixels, 'base64');
  expect(got.length).toBe(expected.length);
  return got.reduce((sum, v, i) => sum + Math.abs(v - (expected[i] as number)), 0) / got.length;
}

const bytesOf = ({ bytes }: { readonly bytes: string }): Uint8Array => new Uint8Array(Buffer.from(bytes, 'base64'));
const [good, bad] = [golden.files.filter(({ pixels }) => pixels !== undefined), golden.files.filter(({ pixels }) => pixels === undefined)];

it.each(good)('$name shows what Pillow shows', async (file) => {
  const { name, height, width, pixels } = file as Required<typeof file>;
  const decoded = await decodeImage(bytesOf(file), name);
  expect([decoded.height, decoded.width]).toEqual([height, width]);
  const limit = MEAN_LEVELS[name] ?? MEAN_LEVELS[name === 'png-named.jpg' ? 'png' : (name.split('.')[1] as string)];
  expect(meanDifference(decoded.values, pixels)).toBeLessThanOrEqual(limit as number);
});

it.each(bad)('$name is refused by name', async (file) => {
  await expect(decodeImage(bytesOf(file), `train/a/${file.name}`)).rejects.toThrow(
    /^train\/a\/\S+: (not an image; expected JPEG, PNG or WebP, got |the image is damaged or cut off; got ")/,
  );
});

describe('a file that is cut off is refused, whatever part of it is decoded', () => {
  const random = Random.seeded(3);
  const noise = sharp(
    Uint8Array.from({ length: 240 * 80 * 3 }, () => random.below(256)),
    { raw: { height: 240, width: 80, channels: 3 } },
  );
  /** A segment APP2, 6 bytes long, as of a thumbnail. */
  const withThumbnailEnd = (jpeg: Buffer): Buffer =>
    Buffer.concat([jpeg.subarray(0, 2), Buffer.of(0xff, 0xe2, 0, 6, 0xff, 0xd9, 0, 0), jpeg.subarray(2)]);
  const ways: readonly ((bytes: Uint8Array) => Promise<unknown>)[] = [
    (bytes) => decodeImage(bytes, 'cut'),
    (bytes) => decodeImage(bytes, 'cut', [40, 40], 'crop'),
    (bytes) => decodeImage(bytes, 'cut', [40, 40], 48),
    (bytes) => decodeScaled(bytes, 'cut', 48),
    (bytes) => decodeBox(bytes, 'cut', [40, 40], () => ({ top: 0, left: 0, height: 30, width: 30 })),
    (bytes) => decodeBox(bytes, 'cut', [20, 20], () => ({ top: 0, left: 0, height: 60, width: 60 })),
  ];
  const outcomes = (bytes: Uint8Array): Promise<readonly string[]> =>
    Promise.all(
      ways.map((way) =>
        way(bytes).then(
          () => 'decoded',
          (error: unknown) => String(error),
        ),
      ),
    );

  it.each([
    ['JPEG', () => noise.clone().jpeg().toBuffer()],
    ['JPEG with an end marker before its scan', async () => withThumbnailEnd(await noise.clone().jpeg().toBuffer())],
    ['progressive JPEG', () => noise.clone().jpeg({ progressive: true }).toBuffer()],
    ['PNG', () => noise.clone().png().toBuffer()],
    ['WebP', () => noise.clone().webp().toBuffer()],
  ])('%s', async (_, encoded) => {
    const whole = await encoded();
    const padded = Buffer.concat([whole, Buffer.alloc(100)]);
    expect([await outcomes(whole), await outcomes(padded)].flat()).toEqual(Array(2 * ways.length).fill('decoded'));
    for (const share of [0.99, 0.9, 0.6]) {
      for (const outcome of await outcomes(whole.subarray(0, Math.floor(share * whole.length)))) {
        expect(outcome).toMatch(/cut: the image is damaged or cut off; got "/);
      }
    }
  });

  it('JPEG without its end marker', async () => {
    const whole = await noise.clone().jpeg().toBuffer();
    const expected = 'CodaError: cut: the image is damaged or cut off; got "its end is missing"';
    expect(await outcomes(whole.subarray(0, -2))).toEqual(ways.map(() => expected));
  });
});

describe('crops', () => {
  const png = new Uint8Array(Buffer.from(golden.crops.png, 'base64'));
  const [centre, small, large] = golden.crops.made as [Required<Shown>, Required<Shown>, Required<Shown>];

  it('the middle of a scaled image is Pillow’s', async () => {
    const { values } = await decodeImage(png, 'png', [40, 40], 48);
    expect(meanDifference(values, centre.pixels)).toBeLessThan(RESIZED_MEAN_LEVELS);
  });

  it('a scaled box is Pillow’s, and with it a box that is shrunk while it is decoded', async () => {
    const cut = await decodeBox(png, 'png', [40, 40], (h, w) => {
      expect([h, w]).toEqual([150, 210]);
      return { top: 17, left: 31, height: 60, width: 70 };
    });
    expect(meanDifference(cut.values, small.pixels)).toBeLessThan(RESIZED_MEAN_LEVELS);
    const shrunk = await decodeBox(png, 'png', [40, 40], () => ({ top: 18, left: 30, height: 80, width: 120 }));
    expect(meanDifference(shrunk.values, large.pixels)).toBeLessThan(RESIZED_MEAN_LEVELS);
  });

  it('decodeScaled gives the shorter side its pixels', async () => {
    const { height, width, values } = await decodeScaled(png, 'png', 30);
    expect([height, width, values.length]).toEqual([30, 42, 30 * 42 * 3]);
  });
});

test('what claims a hundred megapixels is refused before it is decoded, a large JPEG is decoded smaller', async () => {
  const header = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  const claimed = new Uint8Array(header);
  new DataView(claimed.buffer).setUint32(16, 20_000);
  new DataView(claimed.buffer).setUint32(20, 20_000);
  await expect(decodeImage(claimed, 'bomb.png', [8, 8])).rejects.toThrow(/^bomb\.png: the image is (too large|damaged)/);
  const large = await sharp({ create: { width: 8000, height: 6000, channels: 3, background: { r: 10, g: 200, b: 90 } } })
    .jpeg()
    .toBuffer();
  const { values } = await decodeBox(large, 'large.jpg', [32, 32], (height, width) => ({ top: 0, left: 0, height, width }));
  for (const [i, v] of [10, 200, 90].entries()) expect(Math.abs((values[i] as number) - v)).toBeLessThan(4);
});

test('what scaling would make too large is refused, with both sizes', async () => {
  const line = await sharp({ create: { width: 65_000, height: 1, channels: 3, background: 'red' } })
    .jpeg()
    .toBuffer();
  const refused =
    'line.jpg: the image is too large once its shorter side has 73 pixels; expected at most 100000000 pixels, got 1 × 65000 scaled to 73 × 4745000';
  await expect(decodeScaled(line, 'line.jpg', 73)).rejects.toThrow(refused);
  await expect(decodeImage(line, 'line.jpg', [64, 64], 73)).rejects.toThrow(refused);
  const { height, width } = await decodeScaled(line, 'line.jpg', 2);
  expect([height, width]).toEqual([2, 130_000]);
});
