/**
 * Height and width of a JPEG from its frame header (ITU-T T.81, B.2.2), which takes a thousandth of what asking the decoder takes. Only of one that says
 * nothing of a camera's orientation; for anything unusual the decoder has to be asked.
 */

/** Undefined where it does not show at a glance. */
export function jpegSize(bytes: Uint8Array): { readonly height: number; readonly width: number } | undefined {
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1] as number;
    const length = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
    // APP1 holds Exif, and in it the orientation
    if (marker === 0xe1 || length < 2) return undefined;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      const height = ((bytes[at + 5] as number) << 8) | (bytes[at + 6] as number);
      const width = ((bytes[at + 7] as number) << 8) | (bytes[at + 8] as number);
      return height > 0 && width > 0 ? { height, width } : undefined;
    }
    if (marker < 0xe0 && marker !== 0xc4 && marker !== 0xdb && marker !== 0xdd) return undefined;
    at += 2 + length;
  }
  return undefined;
}
