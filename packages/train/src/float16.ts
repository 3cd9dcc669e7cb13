/** IEEE 754 half precision for storage: what a cache keeps, not what anything computes with. */

const view = new DataView(new ArrayBuffer(4));

/** Round to nearest, ties to even; beyond 65504 becomes infinity. */
export function toFloat16(x: number): number {
  view.setFloat32(0, x);
  const bits = view.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7f_ffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200);
  const shifted = exponent - 112;
  if (shifted >= 31) return sign | 0x7c00;
  if (shifted <= 0) {
    if (shifted < -10) return sign;
    const full = fraction | 0x80_0000;
    return sign | roundedShift(full, 14 - shifted);
  }
  // a carry out of the fraction raises the exponent, as it should
  return sign | ((shifted << 10) + roundedShift(fraction, 13));
}

function roundedShift(x: number, by: number): number {
  const kept = x >>> by;
  const rest = x & ((1 << by) - 1);
  const half = 1 << (by - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}

/** Every half as a float, by its bits: decoding is a look-up. */
export const float16Values: Float32Array = Float32Array.from({ length: 0x1_0000 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});
