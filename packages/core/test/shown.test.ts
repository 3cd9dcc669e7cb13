import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { decodeModel, encodeSafetensors, parseConfig } from '../src/index.ts';
import { shown } from '../src/shown.ts';

/** Deeper than `JSON.stringify` gets. */
const depth = 20_000;
const brackets = '['.repeat(depth) + ']'.repeat(depth);
const deep: unknown = JSON.parse(brackets);

describe('shown', () => {
  it.each([null, true, -1.5, 'a "word"', [], {}, [1, [2, 'x'], null], { a: 1, 'b c': { d: [false] } }])('is JSON: %j', (value) =>
    expect(shown(value)).toBe(JSON.stringify(value)),
  );

  it.each([NaN, Infinity, -Infinity])('has a name for %s, which JSON has not', (value) => {
    expect(shown(value)).toBe(String(value));
    expect(shown([value])).toBe(`[${value}]`);
  });

  it('ends after 80 characters, however deep or long the value is', () => {
    expect(() => JSON.stringify(deep)).toThrow(RangeError);
    expect(shown(deep)).toBe(`${'['.repeat(80)}…`);
    expect(shown('x'.repeat(1e6))).toBe(`"${'x'.repeat(79)}…`);
    const many = Array.from({ length: 1000 }, (_, i) => i);
    expect(shown(many)).toBe(`${JSON.stringify(many).slice(0, 80)}…`);
    expect(shown(undefined)).toBe('nothing');
  });
});

describe('a value of 20,000 brackets is an ordinary error', () => {
  it('of a config', () => {
    expect(() => parseConfig(v.strictObject({ a: v.string() }), { a: deep }, 'c.json')).toThrow(
      `c.json: a: not a valid value; expected string, got ${'['.repeat(80)}…`,
    );
  });

  it('of a safetensors header', () => {
    const header = new TextEncoder().encode(`{"w":{"dtype":"F32","shape":${brackets},"data_offsets":[0,0]}}`);
    const bytes = new Uint8Array(8 + header.length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
    bytes.set(header, 8);
    expect(() => decodeModel(bytes, 'm')).toThrow('m: the header has brackets nested deeper than 3');
  });

  it("of a model's metadata", () => {
    const file = encodeSafetensors(
      {},
      {
        format: 'coda-nets',
        version: '1',
        config: '{"kind":"coda"}',
        preprocessing: '{"size":[1,1],"layout":"rgb","range":[0,1]}',
        class_names: '[]',
        provenance: `{"recipe":${brackets}}`,
      },
    );
    expect(() => decodeModel(file, 'm')).toThrow('m: metadata "provenance": nested too deep; expected at most 64 levels');
  });
});
