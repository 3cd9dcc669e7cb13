/** Decodes one JPEG, PNG or WebP into RGB bytes of a wanted size. */
import { CodaError } from '@coda-nets/core';
import { loadSharp } from './load-sharp.ts';

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

/** A hundred megapixels decode to 300 MB; a few hundred hostile bytes can claim gigapixels. */
const maxPixels = 100_000_000;

/**
 * Decodes `bytes`; `where` names them in errors. Orientation of the camera is applied, alpha is dropped, all colour
 * spaces become sRGB. `target` is [H, W].
 *
 * @throws CodaError `malformed` for what is no whole JPEG, PNG or WebP, `mismatch` for a wrong size with `none`.
 */
export async function decodeImage(
  bytes: Uint8Array,
  where: string,
  target?: readonly [height: number, width: number],
  resize: ResizeMode = 'crop',
  interpolation: Interpolation = 'bilinear',
): Promise<DecodedImage> {
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
  const kernel = kernels[interpolation];
  let decoded: DecodedImage;
  try {
    let image = sharp(bytes, { limitInputPixels: maxPixels, failOn: 'error' }).autoOrient();
    if (target !== undefined && resize !== 'none') {
      const [height, width] = target;
      if (typeof resize === 'number') {
        const { autoOrient: whole } = await image.metadata();
        const scale = resize / Math.min(whole.height, whole.width);
        // The longer side is rounded down and the cut to the nearest pixel, as torchvision does.
        const sides = [whole.height, whole.width].map((side) => Math.max(resize, Math.floor(side * scale + 1e-9))) as [number, number];
        const [top, left] = [Math.round((sides[0] - height) / 2), Math.round((sides[1] - width) / 2)];
        image = image.resize({ height: sides[0], width: sides[1], fit: 'fill', kernel }).extract({ top, left, height, width });
      } else image = image.resize({ height, width, fit: resize === 'crop' ? 'cover' : 'fill', kernel });
    }
    const { data, info } = await image.toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`decoded to ${info.channels} channels`);
    decoded = { height: info.height, width: info.width, values: data };
  } catch (cause) {
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
