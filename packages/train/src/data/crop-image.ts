/** How an image gets the network's size by a recipe's crop: a window, a box that is scaled, or the middle. */
import type { Random } from '@coda-nets/core';
import type { Pixels } from './augment/pixels.ts';
import { randomResizedCrop } from './augment/random-crop.ts';
import type { AugmentationRecipe } from './augmentation.ts';
import { decodeBox, decodeImage, decodeScaled } from './decode-image.ts';
import { readImageFile, type ImageFile } from './image-file.ts';

export interface CropTask {
  /** H, W of what comes out. */
  readonly size: readonly [height: number, width: number];
  /** Pixels of the shorter side before the middle is cut out; where not given, as few as cover `size`. */
  readonly resize?: number | undefined;
}

/** Read, decoded, and cropped or scaled. */
export async function cropOfFile(
  file: ImageFile,
  { size, resize }: CropTask,
  { crop }: Pick<AugmentationRecipe, 'crop'>,
  random: Random,
): Promise<Pixels> {
  const bytes = readImageFile(file);
  if (crop?.kind === 'random-resized') {
    const { values } = await decodeBox(bytes, file.name, size, (h, w) => randomResizedCrop(h, w, crop.scale, crop.ratio, random));
    return { height: size[0], width: size[1], data: values };
  }
  if (crop?.kind === 'random') {
    const scaled = await decodeScaled(bytes, file.name, Math.max(resize ?? 0, ...size));
    return window({ ...scaled, data: scaled.values }, size, crop.pad, random);
  }
  const { values } = await decodeImage(bytes, file.name, size, resize ?? 'crop');
  return { height: size[0], width: size[1], data: values };
}

/** Images in memory have the size of the network's input: there is nothing to scale, but for a random share of one. */
export function cropOfPixels(pixels: Pixels, { size }: CropTask, { crop }: Pick<AugmentationRecipe, 'crop'>, random: Random): Pixels {
  if (crop?.kind === 'random') return window(pixels, size, crop.pad, random);
  if (crop?.kind !== 'random-resized') return pixels;
  const box = randomResizedCrop(pixels.height, pixels.width, crop.scale, crop.ratio, random);
  return scaledBox(pixels, box, size);
}

/** A window of `size` at a random place of the image with `pad` zero pixels on every side. */
function window(image: Pixels, [height, width]: readonly [number, number], pad: number, random: Random): Pixels {
  const top = random.below(image.height + 2 * pad - height + 1) - pad;
  const left = random.below(image.width + 2 * pad - width + 1) - pad;
  const data = new Uint8Array(height * width * 3);
  const [first, end] = [Math.max(0, -left), Math.min(width, image.width - left)];
  for (let y = Math.max(0, -top); y < Math.min(height, image.height - top); y++) {
    const from = ((y + top) * image.width + left) * 3;
    data.set(image.data.subarray(from + first * 3, from + end * 3), (y * width + first) * 3);
  }
  return { height, width, data };
}

/** The box scaled to `size` with linear interpolation between pixel centres, as the images of a data set in memory are too small to shrink much. */
function scaledBox(
  image: Pixels,
  box: { top: number; left: number; height: number; width: number },
  size: readonly [number, number],
): Pixels {
  const [height, width] = size;
  const data = new Uint8Array(height * width * 3);
  const columns = Array.from({ length: width }, (_, x) => between(x, box.width, width));
  for (let y = 0, to = 0; y < height; y++) {
    const [above, below, down] = between(y, box.height, height);
    const [upper, lower] = [(box.top + above) * image.width + box.left, (box.top + below) * image.width + box.left];
    for (const [left, right, along] of columns) {
      for (let c = 0; c < 3; c++, to++) {
        const at = (row: number, column: number): number => image.data[(row + column) * 3 + c] as number;
        const top = at(upper, left) + along * (at(upper, right) - at(upper, left));
        const bottom = at(lower, left) + along * (at(lower, right) - at(lower, left));
        data[to] = Math.round(top + down * (bottom - top));
      }
    }
  }
  return { height, width, data };
}

/** The two pixels of `from` between which the centre of pixel `i` of `to` falls, and how far it is from the first to the second. */
function between(i: number, from: number, to: number): readonly [number, number, number] {
  const at = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
  const first = Math.floor(at);
  return [first, Math.min(from - 1, first + 1), at - first];
}
