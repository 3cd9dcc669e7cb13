/**
 * Numbers of 16 bits for storage: IEEE 754 half precision (F16) and bfloat16 (BF16, the upper half of a float32). What files and caches keep, not what
 * anything computes with. Every such number is a float32 too, so decoding is exact. Encoding rounds to the nearest, of two equally near ones to the
 * even; what is too large becomes infinite, and a NaN stays one. Decoded and encoded again, any 16 bits come back, those of a NaN included.
 */

/** into[i] = the float32 of the half halves[i]; both have the same length. */
export function decodeFloat16(halves: Uint16Array, into: Float32Array): void {
  const bits = bitsOf(into);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i] as number;
    const sign = (half & 0x8000) << 16;
    const magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) bits[i] = sign | 0x7f80_0000 | ((magnitude & 0x3ff) << 13);
    else if (magnitude >= 0x400) bits[i] = sign | ((magnitude << 13) + (112 << 23));
    else into[i] = (sign === 0 ? 1 : -1) * magnitude * 2 ** -24;
  }
}

/** halves[i] = the half nearest to values[i]; from 65520 on that is infinity. Both have the same length. */
export function encodeFloat16(values: Float32Array, halves: Uint16Array): void {
  const bits = bitsOf(values);
  for (let i = 0; i < halves.length; i++) {
    const x = bits[i] as number;
    const sign = (x >>> 16) & 0x8000;
    const exponent = ((x >>> 23) & 0xff) - 112;
    const fraction = x & 0x7f_ffff;
    if (exponent === 143) halves[i] = sign | 0x7c00 | (fraction === 0 ? 0 : fraction >>> 13 || 0x200);
    else if (exponent >= 31) halves[i] = sign | 0x7c00;
    // a carry out of the fraction raises the exponent, as it should
    else if (exponent > 0) halves[i] = sign | ((exponent << 10) + roundedShift(fraction, 13));
    else halves[i] = sign | (exponent < -10 ? 0 : roundedShift(fraction | 0x80_0000, 14 - exponent));
  }
}

/** into[i] = the float32 of the bfloat16 halves[i]; both have the same length. */
export function decodeBfloat16(halves: Uint16Array, into: Float32Array): void {
  const bits = bitsOf(into);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
}

/** halves[i] = the bfloat16 nearest to values[i]; from (2 − 2⁻⁸)·2¹²⁷ on that is infinity. Both have the same length. */
export function encodeBfloat16(values: Float32Array, halves: Uint16Array): void {
  const bits = bitsOf(values);
  for (let i = 0; i < halves.length; i++) {
    const x = bits[i] as number;
    const isNaN = (x & 0x7fff_ffff) > 0x7f80_0000;
    halves[i] = isNaN ? (x >>> 16) | ((x & 0x7f_0000) === 0 ? 0x40 : 0) : roundedShift(x, 16);
  }
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function roundedShift(x: number, by: number): number {
  const kept = x >>> by;
  const rest = x & ((1 << by) - 1);
  const half = 1 << (by - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}
