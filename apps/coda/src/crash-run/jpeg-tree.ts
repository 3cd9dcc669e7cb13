/**
 * A tree of JPEGs in folders by class, shaped like ImageNet's: photographs of 300 to 500 pixels a side, made of the small images of another data set by enlarging them and
 * adding noise. The same arguments give the same files.
 */
import { Random } from '@coda-nets/core';
import type { PixelDataset, PixelSplit } from '@coda-nets/train';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';

export interface JpegTreeOptions {
  /** At most twice as many as the data set has: the second half are its classes with their colours inverted. */
  readonly classes: number;
  readonly perClass: number;
  readonly testPerClass: number;
  readonly seed: number;
  readonly onProgress?: (done: number, total: number) => void;
}

const leastSide = 300;
const mostSide = 500;
/** Standard deviation of the noise, of 255. */
const noise = 12;
/** Of the sum of four uniform bytes: √(4 · (256² − 1) / 12). */
const bytesDeviation = Math.sqrt((4 * (256 ** 2 - 1)) / 12);
const quality = 85;

export async function writeJpegTree(folder: string, source: PixelDataset, options: JpegTreeOptions): Promise<void> {
  const { classes, perClass, testPerClass, seed, onProgress } = options;
  const total = classes * (perClass + testPerClass);
  let done = 0;
  for (const [part, split, count] of [
    ['train', source.split('train'), perClass],
    ['val', source.split('test'), testPerClass],
  ] as const) {
    const byClass = placesByClass(split, source.classNames.length);
    for (let c = 0; c < classes; c++) {
      const from = c % source.classNames.length;
      const inverted = c >= source.classNames.length;
      const name = `${String(c).padStart(2, '0')}-${source.classNames[from]}${inverted ? '-inverted' : ''}`;
      await mkdir(join(folder, part, name), { recursive: true });
      const places = byClass[from] as readonly number[];
      for (let i = 0; i < count; i++) {
        const random = Random.seeded(seed).split(part).split(c).split(i);
        const bytes = await jpeg(split, places[i % places.length] as number, inverted, random);
        await writeFile(join(folder, part, name, `${String(i).padStart(4, '0')}.jpg`), bytes);
        onProgress?.(++done, total);
      }
    }
  }
}

function placesByClass({ labels }: PixelSplit, classes: number): readonly (readonly number[])[] {
  const places: number[][] = Array.from({ length: classes }, () => []);
  for (const [place, label] of labels.entries()) places[label]?.push(place);
  return places;
}

async function jpeg({ images, imageShape }: PixelSplit, place: number, inverted: boolean, random: Random): Promise<Uint8Array> {
  const [height, width, channels] = imageShape;
  const size = height * width * channels;
  const raw = Uint8Array.from(images.subarray(place * size, (place + 1) * size), (value) => (inverted ? 255 - value : value));
  const [h, w] = [0, 1].map(() => leastSide + random.below(mostSide - leastSide + 1)) as [number, number];
  const large = await sharp(raw, { raw: { width, height, channels: 3 } })
    .resize(w, h, { fit: 'fill', kernel: 'cubic' })
    .raw()
    .toBuffer();
  // the sum of four uniform bytes: nearly normal, and of one draw
  const noisy = large.map((value) => {
    const draw = random.uint32();
    const sum = (draw & 255) + ((draw >>> 8) & 255) + ((draw >>> 16) & 255) + (draw >>> 24);
    return Math.max(0, Math.min(255, Math.round(value + noise * ((sum - 510) / bytesDeviation))));
  });
  return sharp(noisy, { raw: { width: w, height: h, channels: 3 } })
    .jpeg({ quality })
    .toBuffer();
}
