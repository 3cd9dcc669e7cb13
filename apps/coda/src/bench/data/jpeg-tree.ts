/**
 * Photographs to measure with, made here: images of CIFAR-10 (or where it was not fetched, of the synthetic set) enlarged to 300 to 500 pixels a side,
 * with detail of every size added, since a smooth enlargement decodes faster than a photograph. 80 to 130 kB each, as ImageNet's; 20 classes.
 */
import { Random } from '@coda-nets/core';
import { dataFolder, openCifar10, syntheticDataset, type PixelSplit } from '@coda-nets/train';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';

const CLASSES = 20;
const SIDES = [300, 500] as const;
/** Standard deviation of the finest detail, in levels; each coarser octave has as much. */
const DETAIL = 11;
const OCTAVES = 4;
const QUALITY = 90;

export interface JpegTree {
  readonly images: number;
  readonly bytes: number;
}

/** `<root>/class-00/00000.jpg` …: the same for the same count and seed. */
export async function writeJpegTree(
  root: string,
  count: number,
  seed: number,
  onImage: (done: number) => void = () => undefined,
): Promise<JpegTree> {
  const source = await smallImages();
  const [side, width] = source.imageShape;
  let bytes = 0;
  for (let n = 0; n < count; n++) {
    const random = Random.seeded(seed).split('jpeg').split(n);
    const folder = join(root, `class-${String(n % CLASSES).padStart(2, '0')}`);
    await mkdir(folder, { recursive: true });
    const from = random.below(source.length) * side * width * 3;
    const [height, across] = [0, 0].map(() => SIDES[0] + random.below(SIDES[1] - SIDES[0] + 1)) as [number, number];
    const pixels = await sharp(source.images.subarray(from, from + side * width * 3), { raw: { height: side, width, channels: 3 } })
      .resize({ height, width: across, fit: 'fill', kernel: 'cubic' })
      .raw()
      .toBuffer();
    addDetail(pixels, height, across, random);
    const jpeg = await sharp(pixels, { raw: { height, width: across, channels: 3 } })
      .jpeg({ quality: QUALITY })
      .toBuffer();
    await writeFile(join(folder, `${String(n).padStart(5, '0')}.jpg`), jpeg);
    bytes += jpeg.length;
    onImage(n + 1);
  }
  return { images: count, bytes };
}

async function smallImages(): Promise<PixelSplit> {
  const folder = dataFolder('cifar10');
  return existsSync(folder) ? (await openCifar10(folder)).split('train') : syntheticDataset({ perClass: 20 }).split('train');
}

/** Noise at 1, 2, 4 and 8 pixels, equal in all channels. */
function addDetail(pixels: Uint8Array, height: number, width: number, random: Random): void {
  for (let octave = 0; octave < OCTAVES; octave++) {
    const columns = (width >> octave) + 1;
    const grid = Float32Array.from(
      { length: ((height >> octave) + 1) * columns },
      () => DETAIL * (random.uniform() + random.uniform() + random.uniform() - 1.5) * 2,
    );
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const noise = grid[(y >> octave) * columns + (x >> octave)] as number;
        for (let c = 0; c < 3; c++, i++) pixels[i] = Math.min(255, Math.max(0, Math.round((pixels[i] as number) + noise)));
      }
    }
  }
}
