import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { encodeNpy, ndArray } from '@coda-nets/core';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { loadImages } from '../../src/data/load-images.ts';
import { temporaryFolder } from './temporary-folder.ts';

const pixels = Uint8Array.from({ length: 6 * 4 * 3 }, (_, i) => (i * 37) % 256);
const image = () => sharp(pixels, { raw: { width: 4, height: 6, channels: 3 } });

/** A PNG that says it has this size; the data is `raw`, unfiltered rows. */
function png(width: number, height: number, raw: Uint8Array): Uint8Array {
  const chunk = (type: string, data: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const magic = Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  return Buffer.concat([magic, chunk('IHDR', header), chunk('IDAT', deflateSync(raw)), chunk('IEND', Buffer.alloc(0))]);
}

function crc(bytes: Uint8Array): number {
  let c = 0xffff_ffff;
  for (const byte of bytes) {
    c ^= byte;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb8_8320 : c >>> 1;
  }
  return (c ^ 0xffff_ffff) >>> 0;
}

test('a PNG comes back exactly, [N, H, W, 3] in [0, 1]', async () => {
  const path = join(await temporaryFolder(), 'cat.png');
  await image().png().toFile(path);
  const { names, images } = await loadImages([path]);
  expect(names).toEqual(['cat']);
  expect(images.shape).toEqual([1, 6, 4, 3]);
  expect(images.data).toEqual(Float32Array.from(pixels, (byte) => byte / 255));
});

test('a PNG written by hand: the rows and channels are where they should be', async () => {
  const path = join(await temporaryFolder(), 'hand.png');
  await writeFile(path, png(2, 2, Uint8Array.from([0, 255, 0, 0, 0, 255, 0, 0, 0, 0, 255, 51, 102, 153])));
  const { images } = await loadImages([path]);
  expect(Array.from(images.data, (x) => Math.round(x * 255))).toEqual([255, 0, 0, 0, 255, 0, 0, 0, 255, 51, 102, 153]);
});

test('JPEG, WebP, grey, alpha and 16 bit all become RGB', async () => {
  const folder = await temporaryFolder();
  const flat = (channels: 3 | 4, ...background: number[]) => {
    const [r = 0, g = 0, b = 0, alpha = 1] = background;
    return sharp({ create: { width: 8, height: 8, channels, background: { r, g, b, alpha } } });
  };
  await flat(3, 200, 100, 50).jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toFile(join(folder, 'a.JPG'));
  await flat(3, 200, 100, 50).webp({ lossless: true }).toFile(join(folder, 'b.webp'));
  await flat(3, 90, 90, 90).greyscale().png().toFile(join(folder, 'c.png'));
  await flat(4, 200, 100, 50, 0.5).png().toFile(join(folder, 'd.png'));
  await flat(3, 200, 100, 50).toColourspace('rgb16').png().toFile(join(folder, 'e.png'));
  await writeFile(join(folder, 'notes.txt'), 'no image');
  await writeFile(join(folder, '.hidden.png'), 'no image');
  await mkdir(join(folder, 'below'));
  const { names, images } = await loadImages([folder]);
  expect(names).toEqual(['a', 'b', 'c', 'd', 'e']);
  const first = (n: number) => Array.from(images.data.subarray(n * 192, n * 192 + 3), (x) => Math.round(x * 255));
  for (const n of [1, 3, 4]) expect(first(n)).toEqual([200, 100, 50]);
  expect(first(2)).toEqual([90, 90, 90]);
  // JPEG rounds twice.
  first(0).forEach((x, c) => expect(Math.abs(x - ([200, 100, 50][c] as number))).toBeLessThanOrEqual(2));
});

test('a shorter side is scaled to before the crop, as torchvision resizes and crops', async () => {
  const path = join(await temporaryFolder(), 'columns.png');
  // 40 × 20, column x is 6·x bright: what is cut out says where it was.
  const columns = Uint8Array.from({ length: 20 * 40 * 3 }, (_, i) => 6 * (Math.floor(i / 3) % 40));
  await sharp(columns, { raw: { width: 40, height: 20, channels: 3 } })
    .png()
    .toFile(path);
  const same = (await loadImages([path], { size: 8, resize: 20 })).images;
  expect(same.shape).toEqual([1, 8, 8, 3]);
  expect(Array.from({ length: 8 }, (_, x) => Math.round((same.data[3 * x] as number) * 255))).toEqual([
    96, 102, 108, 114, 120, 126, 132, 138,
  ]);
  const half = (await loadImages([path], { size: 8, resize: 10 })).images;
  // Column x of half the size is the mean of columns 2x and 2x + 1; cut from column 6 on.
  const bright = (x: number): number => (half.data[3 * x] as number) * 255;
  expect(Math.abs(bright(3) - 6 * (2 * 9 + 0.5))).toBeLessThan(3);
  await expect(loadImages([path], { size: 8, resize: 7 })).rejects.toThrow(
    'loadImages: resize: no shorter side out of which the size can be cut; expected an integer from 8 to 16384, got 7',
  );
});

test('crop keeps proportions and takes the middle, stretch does not', async () => {
  const path = join(await temporaryFolder(), 'wide.png');
  // Thirds of red, green and blue, 24 × 8.
  const thirds = Uint8Array.from({ length: 8 * 24 * 3 }, (_, i) => (Math.floor((Math.floor(i / 3) % 24) / 8) === i % 3 ? 255 : 0));
  await sharp(thirds, { raw: { width: 24, height: 8, channels: 3 } })
    .png()
    .toFile(path);
  const cropped = (await loadImages([path], { size: 8 })).images;
  expect(cropped.shape).toEqual([1, 8, 8, 3]);
  expect(Array.from(cropped.data)).toEqual(Array.from({ length: 192 }, (_, i) => (i % 3 === 1 ? 1 : 0)));
  const stretched = (await loadImages([path], { size: [4, 6], resize: 'stretch' })).images;
  expect(stretched.shape).toEqual([1, 4, 6, 3]);
  expect(Array.from(stretched.data.subarray(0, 3))).toEqual([1, 0, 0]);
  expect(Array.from(stretched.data.subarray(15, 18))).toEqual([0, 0, 1]);
  await expect(loadImages([path], { size: 8, resize: 'none' })).rejects.toThrow(
    `${path}: the image does not have the size asked for; expected 8 × 8, got 8 × 24`,
  );
});

test('a .npy batch goes in as it is, whatever size images get', async () => {
  const folder = await temporaryFolder();
  const floats = Float32Array.from({ length: 2 * 5 * 4 * 3 }, (_, i) => i / 120);
  await writeFile(join(folder, 'x.npy'), encodeNpy(ndArray('float32', [2, 5, 4, 3], floats)));
  const bytes = Uint8Array.from({ length: 60 }, (_, i) => i * 4);
  await writeFile(join(folder, 'y.npy'), encodeNpy(ndArray('uint8', [1, 5, 4, 3], bytes)));
  const { names, images } = await loadImages([join(folder, 'x.npy'), join(folder, 'y.npy')], { size: 32 });
  expect(names).toEqual(['x-0', 'x-1', 'y-0']);
  expect(images.shape).toEqual([3, 5, 4, 3]);
  expect(images.data).toEqual(Float32Array.from([...floats, ...Array.from(bytes, (byte) => byte / 255)]));
});

test('what is no batch of intensities is refused', async () => {
  const path = join(await temporaryFolder(), 'x.npy');
  const save = (array: Parameters<typeof encodeNpy>[0]) => writeFile(path, encodeNpy(array));
  await save(ndArray('float32', [2, 3, 4], new Float32Array(24)));
  await expect(loadImages([path])).rejects.toThrow(
    `${path}: not a batch of images; expected [N, H, W, 3] of float32 in [0, 1] or uint8, got [2, 3, 4] of float32`,
  );
  await save(ndArray('float64', [1, 1, 1, 3], new Float64Array(3)));
  await expect(loadImages([path])).rejects.toThrow('got [1, 1, 1, 3] of float64');
  await save(ndArray('float32', [0, 4, 4, 3], new Float32Array(0)));
  await expect(loadImages([path])).rejects.toThrow('got [0, 4, 4, 3] of float32');
  for (const bad of [1.5, -0.25, NaN]) {
    await save(ndArray('float32', [2, 1, 1, 3], Float32Array.from([0, 0, 0, 1, bad, 0])));
    await expect(loadImages([path])).rejects.toThrow(
      `${path}: element 4 (image 1) is no intensity; expected float32 from 0 to 1, got ${bad}. ` +
        'Divide by 255, or save uint8; normalisation is part of the model.',
    );
  }
  await writeFile(path, 'nothing');
  await expect(loadImages([path])).rejects.toThrow(`${path}: `);
});

test('a truncated, hostile or foreign file is one error that names it', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'bad.png');
  const whole = await sharp({
    create: { width: 64, height: 64, channels: 3, background: '#123456', noise: { type: 'gaussian', mean: 9, sigma: 9 } },
  })
    .png()
    .toBuffer();
  for (const bytes of [whole.subarray(0, whole.length >> 1), whole.subarray(0, 20), png(64, 64, new Uint8Array(10))]) {
    await writeFile(path, bytes);
    await expect(loadImages([path])).rejects.toThrow(`${path}: the image is damaged or cut off; got "`);
  }
  const flipped = Uint8Array.from(whole);
  flipped[whole.length >> 1] = (flipped[whole.length >> 1] as number) ^ 0xff;
  await writeFile(path, flipped);
  await expect(loadImages([path])).rejects.toThrow(`${path}: the image is damaged or cut off; got "`);
  await writeFile(path, png(50_000, 50_000, new Uint8Array(10)));
  await expect(loadImages([path])).rejects.toThrow(`${path}: the image is too large; expected at most 100000000 pixels`);
  await writeFile(path, '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  await expect(loadImages([path])).rejects.toThrow(
    `${path}: not an image; expected JPEG, PNG or WebP, got 62 bytes that begin with 3c737667`,
  );
  await writeFile(path, '');
  await expect(loadImages([path])).rejects.toThrow(`${path}: not an image; expected JPEG, PNG or WebP, got an empty file`);
});

test('files that are not there, folders without images, nothing at all', async () => {
  const folder = await temporaryFolder();
  await expect(loadImages([join(folder, 'a.png')])).rejects.toThrow(`${join(folder, 'a.png')}: no such file or folder`);
  await expect(loadImages([folder])).rejects.toThrow(`${folder}: no image in this folder; expected .png, .jpg, .jpeg, .webp`);
  await expect(loadImages([])).rejects.toThrow('loadImages: no input; expected at least one file or folder');
  await symlink(join(folder, 'loop.png'), join(folder, 'loop.png'));
  await expect(loadImages([join(folder, 'loop.png')])).rejects.toThrow('loop.png: cannot be read (ELOOP)');
  await expect(loadImages([folder], { size: 0 })).rejects.toThrow(
    'loadImages: size: not an image size; expected integers from 1 to 16384, got 0 × 0',
  );
});

test('images of a call share one size; equal names are told apart', async () => {
  const folder = await temporaryFolder();
  const [a, b] = [join(folder, 'a.png'), join(folder, 'a.webp')];
  await image().png().toFile(a);
  await image().webp({ lossless: true }).toFile(b);
  expect((await loadImages([a, b, a])).names).toEqual(['a', 'a-2', 'a-3']);
  const other = join(folder, 'other.png');
  await image().resize(3, 3).png().toFile(other);
  await expect(loadImages([a, other])).rejects.toThrow(
    `${other}: another size than ${a}, and all images of a call go into one array; expected 6 × 4, got 3 × 3`,
  );
});
