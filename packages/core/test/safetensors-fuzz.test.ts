/** Whatever the bytes are: a valid result or a CodaError, soon, without reading or claiming more than the file has. Seeded, and bounded in time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodaError, decodeSafetensors, encodeSafetensors, type NamedArrays } from '../src/index.ts';
import { memorySource, type ByteSource } from '../src/byte-source.ts';
import { openSource } from '../src/open-safetensors.ts';
import { isIndex } from '../src/safetensors-index.ts';
import { arbitraryEdits, goldenDTypes, goldenFile, mutated } from './array-files.ts';
import { safetensorsBytes } from './safetensors-bytes.ts';

/** A slow machine runs fewer cases, never a longer test. */
const bounds = { interruptAfterTimeLimit: 5000, markInterruptAsFailure: false };

/** What an attacker would write into each place of a header. */
const number = fc.oneof(
  fc.integer({ min: 0, max: 12 }),
  fc.constantFrom(-1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 - 1, 2 ** 63, 1e308, null, '1', true, [], {}),
);
const name = fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom('__proto__', '__metadata__', 'constructor', '', '\u0000', '\ud800'));
const tensor = fc.record(
  {
    dtype: fc.constantFrom('F32', 'F16', 'BF16', 'U8', 'BOOL', 'I64', 'F8_E4M3', 'f32', '', 7, null),
    shape: fc.oneof(fc.array(number, { maxLength: 4 }), number),
    data_offsets: fc.oneof(fc.tuple(number, number), fc.array(number, { maxLength: 3 })),
  },
  { requiredKeys: [] },
);
const header = fc.array(fc.tuple(name, fc.oneof({ weight: 4, arbitrary: tensor }, fc.jsonValue())), { maxLength: 4 }).map(jsonOf);

/** JSON with keys twice, `__proto__` and lone surrogates, as no object of JavaScript would give it. */
function jsonOf(entries: readonly (readonly [string, unknown])[]): string {
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}

/** Bytes of all arrays that are no views of the file. */
function claimed(tensors: NamedArrays, file: Uint8Array): number {
  const own = new Set(Object.values(tensors).map(({ data }) => data.buffer));
  own.delete(file.buffer as ArrayBuffer);
  return [...own].reduce((sum, buffer) => sum + buffer.byteLength, 0);
}

/** Refused in both ways to read it, or read the same. True where it is refused. */
async function refused(bytes: Uint8Array): Promise<boolean> {
  let decoded: NamedArrays | CodaError;
  try {
    const { tensors, metadata, halves } = decodeSafetensors(bytes, 'fuzz');
    decoded = tensors;
    // 16-bit numbers become float32: twice their bytes, and no more
    expect(claimed(tensors, bytes)).toBeLessThanOrEqual(2 * bytes.length);
    // what is read can be written, and is then read the same
    const again = decodeSafetensors(encodeSafetensors(tensors, metadata, halves), 'again');
    expect(again.metadata).toEqual(metadata);
    expect(again.tensors).toEqual(tensors);
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    expect(['malformed', 'unsupported']).toContain(error.kind);
    decoded = error;
  }
  const opened = await readInParts(bytes);
  if (CodaError.isInstance(opened) && CodaError.isInstance(decoded)) {
    // JSON without a length before it is taken for an index there, and as such is wrong in another way
    if (!isIndex(bytes)) expect(opened.message).toBe(decoded.message);
  } else expect(opened).toEqual(decoded);
  return CodaError.isInstance(decoded);
}

async function readInParts(bytes: Uint8Array): Promise<NamedArrays | CodaError> {
  const inMemory = memorySource(bytes, 'fuzz');
  let read = 0;
  let closed = 0;
  const source: ByteSource = {
    ...inMemory,
    read(begin, end, options) {
      expect(0 <= begin && begin <= end && end <= bytes.length).toBe(true);
      read += end - begin;
      return inMemory.read(begin, end, options);
    },
    async close() {
      closed++;
    },
  };
  try {
    const file = await openSource(source, () => Promise.reject(new Error('nothing lies beside it')));
    const arrays = await file.readAll();
    await file.close();
    return arrays;
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    return error;
  } finally {
    // the first bytes are looked at up to three times
    expect(read).toBeLessThanOrEqual(bytes.length + 16);
    expect(closed).toBeLessThanOrEqual(1);
  }
}

describe('a safetensors file', () => {
  it.each([
    ['of many names', goldenFile('safetensors')],
    ['of every dtype', goldenDTypes.file],
  ])('%s, with bytes changed', async (_, whole) => {
    let [cases, refusals] = [0, 0];
    await fc.assert(
      fc.asyncProperty(arbitraryEdits, async (edits) => {
        cases++;
        if (await refused(mutated(whole, edits))) refusals++;
      }),
      { ...bounds, numRuns: 1500, seed: 2 },
    );
    expect(refusals).toBeGreaterThan(cases / 2);
    expect(refusals).toBeLessThan(cases);
  });

  it('cut anywhere, or longer than it says', async () => {
    const whole = goldenDTypes.file;
    for (let length = 0; length < whole.length; length += 7) expect(await refused(whole.slice(0, length))).toBe(true);
    expect(await refused(Uint8Array.from([...whole, 0]))).toBe(true);
  });

  it('with any header', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(header, fc.integer({ min: 0, max: 24 }), async (json, dataBytes) => {
        if (!(await refused(safetensorsBytes(json, dataBytes)))) accepted++;
      }),
      { ...bounds, numRuns: 3000, seed: 3 },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  it('of any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
        await refused(bytes);
      }),
      { ...bounds, numRuns: 1000, seed: 4 },
    );
  });
});
