/** Pictures as PNG bytes, by sharp. The bytes carry no date and no other metadata: the same picture gives the same file. */
import sharp from 'sharp';
import type { Picture } from './picture.ts';

export async function encodePng({ data, width, height }: Picture): Promise<Uint8Array> {
  const image = sharp(data, { raw: { width, height, channels: 4 } });
  return new Uint8Array(await image.png({ compressionLevel: 9, palette: false }).toBuffer());
}
