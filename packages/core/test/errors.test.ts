import { describe, expect, it } from 'vitest';
import { CodaError, ndArray, sameShape, sizeOf, zerosArray, type ErrorDetails } from '../src/index.ts';

const details = { kind: 'mismatch', where: 'hybrid.cut', problem: 'no such tap' } as const;

describe('CodaError', () => {
  it.each([
    [{}, 'hybrid.cut: no such tap'],
    [{ expected: 'a' }, 'hybrid.cut: no such tap; expected a'],
    [{ got: 'b' }, 'hybrid.cut: no such tap; got b'],
    [{ expected: 'a', got: 'b' }, 'hybrid.cut: no such tap; expected a, got b'],
    [{ expected: 'a', got: 'b', hint: 'Did you mean "a"?' }, 'hybrid.cut: no such tap; expected a, got b. Did you mean "a"?'],
  ])('says %j', (more, text) => {
    const error = new CodaError({ ...details, ...more });
    expect(error.message).toBe(text);
    expect(error).toMatchObject({ ...details, ...more, name: 'CodaError' });
    expect(error).toBeInstanceOf(Error);
  });

  it('is known by any copy of the package, and nothing else is', () => {
    expect(CodaError.isInstance(new CodaError(details))).toBe(true);
    const foreign = Object.assign(new Error('x'), { [Symbol.for('@coda-nets/core/CodaError')]: true });
    expect(CodaError.isInstance(foreign)).toBe(true);
    for (const value of [new Error('x'), null, undefined, 'CodaError', {}]) expect(CodaError.isInstance(value)).toBe(false);
  });

  it('can be seen from further out, with its cause', () => {
    const inner = new CodaError({ ...details, got: 'b', hint: 'Look.' });
    const outer = inner.within('config.json');
    expect(outer.message).toBe('config.json: hybrid.cut: no such tap; got b. Look.');
    expect(outer.kind).toBe('mismatch');
    expect(outer.cause).toBe(inner);
    const cause = new Error('disk');
    expect(new CodaError({ ...details, cause }).within('x').cause).toBe(cause);
  });

  const joined = new CodaError({
    ...details,
    problem: '2 mistakes',
    parts: [new CodaError({ ...details, got: 'a' }), new CodaError(details)],
  });

  it('can be of another kind, with all its parts', () => {
    const other = joined.as('malformed');
    expect(other).toMatchObject({ kind: 'malformed', message: joined.message, cause: joined });
    expect(other.parts).toMatchObject([{ kind: 'malformed', got: 'a' }, { kind: 'malformed' }]);
  });

  it.each([
    ['JSON', (data: ErrorDetails): ErrorDetails => JSON.parse(JSON.stringify(data)) as ErrorDetails],
    ['a message between threads', (data: ErrorDetails): ErrorDetails => structuredClone(data)],
  ])('comes through %s with all its parts', (_, sent) => {
    const received = new CodaError(sent(joined.toJSON()));
    expect(received.message).toBe('hybrid.cut: 2 mistakes\n  no such tap; got a\n  no such tap');
    expect(received.parts?.every(CodaError.isInstance)).toBe(true);
    expect(received.toJSON()).toEqual(joined.toJSON());
  });
});

describe('ndArray', () => {
  it('wraps data of the right length and refuses other', () => {
    const data = Float32Array.of(1, 2);
    expect(ndArray('float32', [2, 1], data).data).toBe(data);
    expect(() => ndArray('float32', [3], data)).toThrow('ndArray: data does not fill the shape [3]; expected 3 elements, got 2');
  });

  it('prints no control characters of a foreign name, and no name without an end', () => {
    const messageOf = (problem: string): string => new CodaError({ kind: 'malformed', where: 'file', problem }).message;
    expect(messageOf('no \u001b[2J\u0007such\nname\u009b1m')).toBe('file: no \u{FFFD}[2J\u{FFFD}such\nname\u{FFFD}1m');
    expect(messageOf('x'.repeat(1e6))).toHaveLength(10_001);
  });

  it('knows sizes and shapes', () => {
    expect([sizeOf([]), sizeOf([2, 3]), sizeOf([2, 0])]).toEqual([1, 6, 0]);
    expect(zerosArray('int64', [2, 2])).toEqual({ dtype: 'int64', shape: [2, 2], data: new BigInt64Array(4) });
    expect([sameShape([1, 2], [1, 2]), sameShape([1, 2], [2, 1]), sameShape([1], [1, 1]), sameShape([], [])]).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });
});
