/**
 * Whether the end of a JPEG or PNG is missing: ITU-T T.81, B.1.1.3 (marker EOI), and PNG, 11.2.5 (chunk IEND). A decoder that is asked for an upper part of
 * an image does not get so far, and what is missing would be found by some crops alone. Of a WebP the decoder always asks for all bytes.
 */

const endOfJpeg = Buffer.of(0xff, 0xd9);

export function isCutOff(bytes: Uint8Array): boolean {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] === 0xff) return all.lastIndexOf(endOfJpeg) < firstScan(bytes);
  return bytes[0] === 0x89 && all.lastIndexOf('IEND', undefined, 'latin1') < 0;
}

/** Where the segments before a JPEG's first scan end: one of them may hold a thumbnail with an end of its own. */
function firstScan(bytes: Uint8Array): number {
  let at = 2;
  while (at + 3 < bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    const isFill = bytes[at + 1] === 0xff;
    at += isFill ? 1 : 2 + (((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number));
  }
  return at;
}
