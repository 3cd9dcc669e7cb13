/** Decodes one JPEG, PNG or WebP into RGB bytes of a wanted size. */
import { CodaError } from '@coda-nets/core';
import type { Box } from './augment/shape-operations.ts';
import { isCutOff } from './is-cut-off.ts';
import { jpegSize } from './jpeg-size.ts';
import { loadSharp, type Sharp } from './load-sharp.ts';

/**
 * - `crop`: the image is scaled until it just covers the target, and the middle is cut out
 * - `stretch`: scaled to the target, its proportions lost
 * - `none`: it must have the target's size
 * - a number: the image is scaled until its shorter side has so many pixels, at least the target's, and the middle is cut out
 */
export type ResizeMode = 'crop' | 'stretch' | 'none' | number;

/** How pixels are weighed when an image is scaled; both with anti-aliasing. */
export type Interpolation = 'bilinear' | 'bicubic';
const kernels = { bilinear: 'linear', bicubic: 'cubic' } as const;

export interface DecodedImage {
  readonly height: number;
  readonly width: number;
  /** [H, W, 3] */
  readonly values: Uint8Array;
}

/** Of an encoded image, after the camera's orientation is applied. */
interface Size {
  readonly height: number;
  readonly width: number;
}

/** A hundred megapixels decode to 300 MB; a few hundred hostile bytes can claim gigapixels. */
const maxPixels = 100_000_000;
/** An encoded image of this size is decoded whole into memory: faster than line by line, and small. */
const inMemoryBytes = 2 ** 20;
/** From here on a smaller image is decoded instead of a part of the whole one. */
const shrinksFrom = 2;

/**
 * Decodes `bytes`; `where` names them in errors. Orientation of the camera is applied, alpha is dropped, all colour
 * spaces become sRGB, of an animation the first picture is taken. `target` is [H, W].
 *
 * @throws CodaError `malformed` for what is no whole JPEG, PNG or WebP or has too many pixels, scaled or not, `mismatch` for a wrong size with `none`.
 */
export async function decodeImage(
  bytes: Uint8Array,
  where: string,
  target?: readonly [height: number, width: number],
  resize: ResizeMode = 'crop',
  interpolation: Interpolation = 'bilinear',
): Promise<DecodedImage> {
  const kernel = kernels[interpolation];
  const decoded = await decoding(bytes, where, async (image) => {
    if (target === undefined || resize === 'none') return image;
    const [height, width] = target;
    if (typeof resize !== 'number') return image.resize({ height, width, fit: resize === 'crop' ? 'cover' : 'fill', kernel });
    const sides = scaledSides(await orientedSize(image, bytes), resize, where);
    // The cut is to the nearest pixel, as torchvision does.
    const [top, left] = [Math.round((sides[0] - height) / 2), Math.round((sides[1] - width) / 2)];
    return image.resize({ height: sides[0], width: sides[1], fit: 'fill', kernel }).extract({ top, left, height, width });
  });
  if (target !== undefined && (decoded.height !== target[0] || decoded.width !== target[1])) {
    throw new CodaError({
      kind: 'mismatch',
      where,
      problem: 'the image does not have the size asked for',
      expected: `${target[0]} × ${target[1]}`,
      got: `${decoded.height} × ${decoded.width}`,
    });
  }
  return decoded;
}

/**
 * Decodes the box that `choose` picks of the image, and scales it to `target` [H, W]. Of a JPEG at least twice as large a smaller one is
 * decoded, and the box rounded to its pixels. Errors as of `decodeImage`.
 */
export function decodeBox(
  bytes: Uint8Array,
  where: string,
  target: readonly [height: number, width: number],
  choose: (height: number, width: number) => Box,
): Promise<DecodedImage> {
  return decoding(bytes, where, async (image) => {
    const whole = await orientedSize(image, bytes);
    const box = choose(whole.height, whole.width);
    const [height, width] = target;
    const [vertical, horizontal] = [height / box.height, width / box.width];
    if (vertical * shrinksFrom > 1 || horizontal * shrinksFrom > 1) {
      return image.extract(box).resize({ height, width, fit: 'fill', kernel: 'linear' });
    }
    const scaled = {
      height: Math.max(height, Math.round(whole.height * vertical)),
      width: Math.max(width, Math.round(whole.width * horizontal)),
    };
    const top = Math.min(scaled.height - height, Math.round(box.top * vertical));
    const left = Math.min(scaled.width - width, Math.round(box.left * horizontal));
    return image.resize({ ...scaled, fit: 'fill', kernel: 'linear' }).extract({ top, left, height, width });
  });
}

/** Decodes the image scaled until its shorter side has `side` pixels, all of it. Errors as of `decodeImage`. */
export function decodeScaled(bytes: Uint8Array, where: string, side: number): Promise<DecodedImage> {
  return decoding(bytes, where, async (image) => {
    const [height, width] = scaledSides(await orientedSize(image, bytes), side, where);
    return image.resize({ height, width, fit: 'fill', kernel: 'linear' });
  });
}

/**
 * The shorter side becomes `side`; the longer one is rounded down, as torchvision does. Throws a CodaError for more pixels than an image may have: a line of
 * pixels would become a gigabyte.
 */
function scaledSides({ height, width }: Size, side: number, where: string): [height: number, width: number] {
  const scale = side / Math.min(height, width);
  const scaled = [height, width].map((d) => Math.max(side, Math.floor(d * scale + 1e-9))) as [number, number];
  if (scaled[0] * scaled[1] > maxPixels) {
    throw new CodaError({
      kind: 'malformed',
      where,
      problem: `the image is too large once its shorter side has ${side} pixels`,
      expected: `at most ${maxPixels} pixels`,
      got: `${height} × ${width} scaled to ${scaled.join(' × ')}`,
    });
  }
  return scaled;
}

async function orientedSize(image: SharpImage, bytes: Uint8Array): Promise<Size> {
  const known = isJpeg(bytes) ? jpegSize(bytes) : undefined;
  if (known !== undefined) return known;
  const { autoOrient } = await image.metadata();
  return autoOrient;
}

type SharpImage = ReturnType<Sharp>;

async function decoding(bytes: Uint8Array, where: string, shape: (image: SharpImage) => Promise<SharpImage>): Promise<DecodedImage> {
  // Other formats that the decoder knows (SVG, TIFF, PDF …) have no business here and a history of trouble.
  if (!isJpeg(bytes) && !isPng(bytes) && !isWebp(bytes)) {
    throw new CodaError({
      kind: 'malformed',
      where,
      problem: 'not an image',
      expected: 'JPEG, PNG or WebP',
      got: bytes.length === 0 ? 'an empty file' : `${bytes.length} bytes that begin with ${hex(bytes.subarray(0, 4))}`,
    });
  }
  const sharp = await loadSharp();
  try {
    if (isCutOff(bytes)) throw new Error('its end is missing');
    const image = await shape(
      sharp(bytes, { limitInputPixels: maxPixels, failOn: 'error', sequentialRead: bytes.length > inMemoryBytes }).autoOrient(),
    );
    const { data, info } = await image.toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`decoded to ${info.channels} channels`);
    return { height: info.height, width: info.width, values: data };
  } catch (cause) {
    if (CodaError.isInstance(cause)) throw cause;
    const said = cause instanceof Error ? (cause.message.split('\n')[0] as string) : String(cause);
    const tooLarge = said.includes('exceeds pixel limit');
    throw new CodaError({
      kind: 'malformed',
      where,
      problem: tooLarge ? 'the image is too large' : 'the image is damaged or cut off',
      expected: tooLarge ? `at most ${maxPixels} pixels` : undefined,
      got: tooLarge ? undefined : JSON.stringify(said),
      cause,
    });
  }
}

function isPng(bytes: Uint8Array): boolean {
  return hex(bytes.subarray(0, 8)) === '89504e470d0a1a0a';
}

function isJpeg(bytes: Uint8Array): boolean {
  return hex(bytes.subarray(0, 3)) === 'ffd8ff';
}

function isWebp(bytes: Uint8Array): boolean {
  return hex(bytes.subarray(0, 4)) === '52494646' && hex(bytes.subarray(8, 12)) === '57454250';
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
