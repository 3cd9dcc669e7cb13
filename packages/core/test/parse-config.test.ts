import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { CodaError, nearestName, parseConfig } from '../src/index.ts';

const schema = v.strictObject({
  kind: v.literal('coda'),
  norm: v.optional(v.picklist(['squash', 'l2']), 'squash'),
  layers: v.pipe(v.array(v.strictObject({ out: v.pipe(v.number(), v.integer(), v.minValue(1)), kernel: v.number() })), v.minLength(1)),
  schedule: v.optional(
    v.variant('type', [
      v.strictObject({ type: v.literal('step'), every: v.number() }),
      v.strictObject({ type: v.literal('cosine'), epochs: v.number() }),
    ]),
  ),
});
const layers = [{ out: 1, kernel: 3 }];
/** 10,000 mistakes take less than a second; compared each with each, more than a minute. */
const manyMistakesMs = 10_000;

type Further = Parameters<typeof parseConfig>[3];

function messageOf(value: unknown, further?: Further): string {
  try {
    parseConfig(schema, value, 'config.json', further);
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    expect(error.kind).toBe('argument');
    return error.message;
  }
  throw new Error('nothing was thrown');
}

describe('parseConfig', () => {
  it('gives the value back with its defaults, and leaves its argument alone', () => {
    const value = Object.freeze({ kind: 'coda', layers });
    expect(parseConfig(schema, value, 'x')).toEqual({ kind: 'coda', layers, norm: 'squash' });
  });

  it.each<[unknown, string]>([
    [3, 'config.json: not a valid value; expected Object, got 3'],
    [undefined, 'config.json: not a valid value; expected Object, got nothing'],
    [{ kind: 'coda' }, 'config.json: layers: missing'],
    [{ kind: 'coda', layers: undefined }, 'config.json: layers: missing'],
    [{}, 'config.json: 2 mistakes\n  kind: missing\n  layers: missing'],
    [{ kind: 'code', layers }, 'config.json: kind: not a valid value; expected "coda", got "code". Did you mean "coda"?'],
    [{ kind: 'coda', layers: [] }, 'config.json: layers: invalid length; expected >=1, got []'],
    [
      { kind: 'coda', layers, nrom: 'l2' },
      'config.json: nrom: unknown key; expected one of kind, norm, layers, schedule. Did you mean "norm"?',
    ],
    [{ kind: 'coda', layers, somethingElse: 1 }, 'config.json: somethingElse: unknown key; expected one of kind, norm, layers, schedule'],
    [
      { kind: 'coda', layers, norm: 'squish' },
      'config.json: norm: not a valid value; expected ("squash" | "l2"), got "squish". Did you mean "squash"?',
    ],
    [
      { kind: 'coda', layers: [...layers, { out: 2, kernl: 3 }] },
      'config.json: layers[1].kernl: unknown key; expected one of out, kernel. Did you mean "kernel"?',
    ],
    [{ kind: 'coda', layers: [{ out: 0.5, kernel: 3 }] }, 'config.json: layers[0].out: invalid integer; expected an integer, got 0.5'],
    [{ kind: 'coda', layers: [{ out: '1', kernel: 3 }] }, 'config.json: layers[0].out: not a valid value; expected number, got "1"'],
    [
      { kind: 'coda', layers, schedule: { type: 'step', evry: 1 } },
      'config.json: schedule.evry: unknown key; expected one of type, every. Did you mean "every"?',
    ],
    [
      { kind: 'code', layers: [{ out: '1', kernl: 3, strde: 1 }, 4], nrom: 'l2', schedule: { type: 'steps' } },
      `config.json: 7 mistakes
  layers[0].kernl: unknown key; expected one of out, kernel. Did you mean "kernel"?
  layers[0].strde: unknown key
  nrom: unknown key; expected one of kind, norm, layers, schedule. Did you mean "norm"?
  kind: not a valid value; expected "coda", got "code". Did you mean "coda"?
  layers[0].out: not a valid value; expected number, got "1"
  layers[1]: not a valid value; expected Object, got 4
  schedule.type: not a valid value; expected ("step" | "cosine"), got "steps". Did you mean "step"?`,
    ],
    [
      { kind: 'coda', layers: Array.from({ length: 23 }, () => ({ out: 1, kernel: true })) },
      `config.json: 23 mistakes${Array.from({ length: 20 }, (_, i) => `\n  layers[${i}].kernel: not a valid value; expected number, got true`).join('')}
  and 3 more`,
    ],
    [
      { kind: 'coda', layers, norm: 'x'.repeat(200) },
      `config.json: norm: not a valid value; expected ("squash" | "l2"), got "${'x'.repeat(79)}…`,
    ],
  ])('names what is wrong with %j', (value, text) => {
    expect(messageOf(value)).toBe(text);
  });

  it('knows a place by its path, whatever is in the names of keys', () => {
    const error = messageOf({ kind: 1, 'kind.of': 1, 'kind[0]': 1, 'kind: ': 1, layers });
    expect(error).toBe(`config.json: 4 mistakes
  kind.of: unknown key; expected one of kind, norm, layers, schedule
  kind[0]: unknown key
  kind: : unknown key. Did you mean "kind"?
  kind: not a valid value; expected "coda", got 1`);
  });

  it('cuts a long name, and tells of the others', () => {
    expect(messageOf({ kind: 1, layers, ['x'.repeat(20_000)]: 1 })).toBe(`config.json: 2 mistakes
  ${'x'.repeat(80)}…: unknown key; expected one of kind, norm, layers, schedule
  kind: not a valid value; expected "coda", got 1`);
  });

  it('shows a number that JSON has not', () => {
    expect(messageOf({ kind: 'coda', layers: [{ out: NaN, kernel: 3 }] })).toBe(
      'config.json: layers[0].out: not a valid value; expected number, got NaN',
    );
  });

  it('takes time in proportion to the mistakes', () => {
    const many = { kind: 'coda', layers, ...Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`unknown${i}`, 1])) };
    const begin = performance.now();
    expect(messageOf(many)).toContain('10000 mistakes');
    expect(performance.now() - begin).toBeLessThan(manyMistakesMs);
  });

  it('tells of what is found beside the schema: in place of what that finds within, and not where it found the same leaf wrong', () => {
    const further: Further = () => [
      { path: ['schedule'], problem: 'an array' },
      { path: ['layers', 0, 'out'], problem: 'too many' },
      { path: ['norm'], problem: 'another', expected: 'a', got: 'b' },
    ];
    expect(messageOf({ kind: 'coda', layers: [{ out: 0, kernel: 3 }], schedule: { type: 'step', evry: 1 } }, further)).toBe(
      `config.json: 3 mistakes
  layers[0].out: invalid value; expected >=1, got 0
  schedule: an array
  norm: another; expected a, got b`,
    );
  });

  it('is not fooled by a key named __proto__', () => {
    expect(messageOf(JSON.parse('{"kind":"coda","layers":[{"out":1,"kernel":3}],"__proto__":1}'))).toBe(
      'config.json: __proto__: unknown key; expected one of kind, norm, layers, schedule',
    );
  });
});

describe('nearestName', () => {
  it.each([
    ['temprature', ['temperature', 'tempo'], 'temperature'],
    ['Layers.0', ['layers.1', 'layers.0'], 'layers.0'],
    ['lr', ['LR', 'batch'], 'LR'],
    ['xyz', ['layers', 'norm'], undefined],
    ['ab', ['cd'], undefined],
    ['hyb', ['hybrid-small', 'hybrid-large'], 'hybrid-small'],
    ['hy', ['hybrid-small'], undefined],
    ['a', [], undefined],
  ])('%s among %j is %s', (name, candidates, expected) => {
    expect(nearestName(name, candidates)).toBe(expected);
  });
});
