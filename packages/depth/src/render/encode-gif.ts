/** A sequence of pictures as an animated GIF, by sharp. Colours are reduced to 256 a file; for exact ones write each frame as PNG. */
import { CodaError } from '@coda-nets/core';
import sharp from 'sharp';
import type { Picture } from './picture.ts';

export interface GifOptions {
  /** Of each frame, in milliseconds; default 100. GIF knows hundredths of a second. */
  readonly delay?: number;
  /** How often it plays; 0 is for ever. Default 0. */
  readonly loop?: number;
}

/** Throws a CodaError for no frames, or frames of different sizes. */
export async function encodeGif(frames: readonly Picture[], { delay = 100, loop = 0 }: GifOptions = {}): Promise<Uint8Array> {
  const { width = 0, height = 0 } = frames[0] ?? {};
  const other = frames.find((frame) => frame.width !== width || frame.height !== height);
  if (frames.length === 0 || other !== undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'encodeGif: frames',
      problem: 'not pictures of one size',
      expected: frames.length === 0 ? 'at least one' : `${width}×${height}`,
      got: other === undefined ? 'none' : `${other.width}×${other.height}`,
    });
  }
  const data = new Uint8Array(4 * width * height * frames.length);
  for (const [i, frame] of frames.entries()) data.set(frame.data, i * frame.data.length);
  const raw = { width, height: height * frames.length, channels: 4, pageHeight: height } as const;
  const gif = sharp(data, { raw, limitInputPixels: false }).gif({ delay: frames.map(() => delay), loop, dither: 0, effort: 10 });
  return new Uint8Array(await gif.toBuffer());
}
