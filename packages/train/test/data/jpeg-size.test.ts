import sharp from 'sharp';
import { Random } from '@coda-nets/core';
import { expect, it } from 'vitest';
import { jpegSize } from '../../src/data/jpeg-size.ts';

const image = (width: number, height: number) => sharp({ create: { width, height, channels: 3, background: 'teal' } });

it.each([
  ['baseline', {}],
  ['progressive', { progressive: true }],
  ['optimised, without subsampling', { mozjpeg: true, chromaSubsampling: '4:4:4' }],
])('reads the size of a %s JPEG', async (_, options) => {
  expect(jpegSize(await image(301, 77).jpeg(options).toBuffer())).toEqual({ height: 77, width: 301 });
});

it('leaves one with a camera’s orientation, other files and noise to the decoder', async () => {
  expect(jpegSize(await image(30, 20).jpeg().withMetadata({ orientation: 6 }).toBuffer())).toBeUndefined();
  expect(jpegSize(await image(30, 20).png().toBuffer())).toBeUndefined();
  const random = Random.seeded(4);
  const whole = await image(30, 20).jpeg().toBuffer();
  for (let n = 0; n < 300; n++) {
    const cut = Uint8Array.from(whole.subarray(0, random.below(whole.length)));
    for (let k = 0; k < 3 && cut.length > 2; k++) cut[2 + random.below(cut.length - 2)] = random.below(256);
    const size = jpegSize(cut);
    expect(size === undefined || (size.height > 0 && size.width > 0)).toBe(true);
  }
});
