import { describe, expect, it } from 'vitest';
import { decodeFloat16, encodeFloat16 } from '../src/index.ts';
import { decodeBfloat16, encodeBfloat16 } from '../src/half-floats.ts';
import { goldenDTypes } from './array-files.ts';

const allBits = Uint16Array.from({ length: 0x1_0000 }, (_, bits) => bits);
const formats = [
  { name: 'F16', decode: decodeFloat16, encode: encodeFloat16, exponentBits: 5, infinity: 0x7c00 },
  { name: 'BF16', decode: decodeBfloat16, encode: encodeBfloat16, exponentBits: 8, infinity: 0x7f80 },
] as const;

/** The number by the definition of IEEE 754: sign, exponent with its bias, fraction. */
function valueOf(bits: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> fractionBits;
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

describe.each(formats)('$name', ({ name, decode, encode, exponentBits, infinity }) => {
  const decoded = new Float32Array(allBits.length);
  decode(allBits, decoded);
  const encodeOne = (x: number): number => {
    const out = new Uint16Array(1);
    encode(Float32Array.of(x), out);
    return out[0] as number;
  };

  it('decodes every number exactly', () => {
    expect(decoded).toEqual(Float32Array.from(allBits, (bits) => valueOf(bits, exponentBits)));
  });

  it('gives every 16 bits back, those of a NaN too', () => {
    const again = new Uint16Array(allBits.length);
    encode(decoded, again);
    expect(again).toEqual(allBits);
  });

  it('keeps a NaN whose payload does not fit', () => {
    const bits = Uint32Array.of(0x7f80_0001, 0xff80_0001);
    const out = new Uint16Array(2);
    encode(new Float32Array(bits.buffer), out);
    expect([...out].map((half) => valueOf(half, exponentBits))).toEqual([NaN, NaN]);
    expect([...out].map((half) => half >> 15)).toEqual([0, 1]);
  });

  it('encodes to the nearest, of two equally near ones to the even', () => {
    for (let low = 0; low < infinity - 1; low += 13) {
      const [a, b] = [decoded[low] as number, decoded[low + 1] as number];
      // below what float32 has between two neighbours there is nothing to round
      if (Math.fround((a + b) / 2) === a) continue;
      for (const [sign, bit] of [
        [1, 0],
        [-1, 0x8000],
      ] as const) {
        expect([low, encodeOne(sign * (a + 0.49 * (b - a)))]).toEqual([low, low | bit]);
        expect([low, encodeOne(sign * (a + 0.51 * (b - a)))]).toEqual([low, (low + 1) | bit]);
        expect([low, encodeOne((sign * (a + b)) / 2)]).toEqual([low, (low % 2 === 0 ? low : low + 1) | bit]);
      }
    }
  });

  it('becomes infinite where the nearest number would be the one after the largest', () => {
    const largest = decoded[infinity - 1] as number;
    const limit = largest + (largest - (decoded[infinity - 2] as number)) / 2;
    const below = new Float32Array(Uint32Array.of(new Uint32Array(Float32Array.of(limit).buffer)[0]! - 1).buffer)[0] as number;
    expect([below, limit, -limit, 3.4e38].map(encodeOne)).toEqual([infinity - 1, infinity, infinity | 0x8000, infinity]);
  });

  it('rounds as PyTorch does', () => {
    const out = new Uint16Array(goldenDTypes.x.length);
    encode(goldenDTypes.x, out);
    const file = goldenDTypes.rounded[name];
    expect(Buffer.from(out.buffer).equals(file.subarray(file.length - out.byteLength))).toBe(true);
  });
});
