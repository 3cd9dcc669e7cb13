/** The checksum of TFRecord files: CRC-32C (Castagnoli; RFC 3720, section 12.1 and appendix B.4), and TensorFlow's mask over it. */

/** x³² + x²⁸ + x²⁷ + … + 1 with its bits reversed. */
const polynomial = 0x82f6_3b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ polynomial;
  return crc;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] as number);
  return (crc ^ 0xffff_ffff) >>> 0;
}

/** ((crc ≫ 15) | (crc ≪ 17)) + 0xa282ead8 mod 2³²: so that a checksum of data that holds checksums is none of those. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282_ead8) >>> 0;
}
