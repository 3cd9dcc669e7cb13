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

function messageOf(value: unknown): string {
  try {
    parseConfig(schema, value, 'config.json');
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
