import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonOddity } from '../src/json-oddity.ts';

describe('jsonOddity', () => {
  it('finds none in what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(jsonOddity(json, { maxDepth: 1000 })).toBeUndefined();
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it('takes any text, JSON or not', () => {
    const text = fc.array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', ':', '1', '-', 'e', 'a', ' '), { maxLength: 30 });
    fc.assert(
      fc.property(text, (chars) => {
        jsonOddity(chars.join(''), { maxDepth: 4, integersOnly: true });
      }),
      { numRuns: 1000, seed: 1 },
    );
  });

  it.each([
    ['{"a":1,"a":2}', 'the key "a" twice'],
    ['[{"b":{"a":1,"c":[],"a":[1]}}]', 'the key "a" twice'],
    ['{"a":{"a":1},"b":["a","a"],"\\u0061":1}', 'the key "a" twice'],
    ['{"\\"":1,"x":"\\\\","\\"":2}', 'the key "\\"" twice'],
    ['{"a":"b","b":"a"}', undefined],
    ['[{"a":1},{"a":1}]', undefined],
    ['[[[[]]]]', undefined],
    ['[[[[[]]]]]', 'brackets nested deeper than 4'],
    ['["[[[[["]', undefined],
  ])('%s: %s', (json, expected) => {
    expect(jsonOddity(json, { maxDepth: 4 })).toBe(expected);
  });

  it.each(['1.0', '1e3', '-1', '-0', '1E2', '10000000000000000000000e9'])('%s is no plain integer', (number) => {
    expect(jsonOddity(`{"a":[0,${number}]}`, { maxDepth: 2, integersOnly: true })).toBe(
      `the number ${number}, which is not written as an integer from 0`,
    );
    expect(jsonOddity(`{"a":[0,${number}],"${number}":12}`, { maxDepth: 2 })).toBeUndefined();
  });
});
