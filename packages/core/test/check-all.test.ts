import { describe, expect, it } from 'vitest';
import { checkAll, CodaError } from '../src/index.ts';

const refuse = (place: string) => (): never => {
  throw new CodaError({ kind: 'mismatch', where: `net.json: ${place}`, problem: 'is wrong', expected: 'another', got: place });
};

function thrownBy(...checks: readonly (() => unknown)[]): CodaError {
  try {
    checkAll('net.json', checks);
  } catch (error) {
    if (CodaError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('checkAll', () => {
  it('gives what the checks give', () => {
    expect(checkAll('net.json', [() => 1, () => 'two'])).toEqual([1, 'two']);
  });

  it('throws the one error there is as it is, and several as one', () => {
    expect(thrownBy(refuse('a'), () => 1).message).toBe('net.json: a: is wrong; expected another, got a');
    const error = thrownBy(refuse('a'), () => 1, refuse('b'));
    expect(error).toMatchObject({ kind: 'mismatch', where: 'net.json', problem: '2 mistakes' });
    expect(error.message).toBe('net.json: 2 mistakes\n  a: is wrong; expected another, got a\n  b: is wrong; expected another, got b');
  });

  it('joins what is joined already, seen from further out and with a hint', () => {
    const inner = (): void => void checkAll('net.json', [refuse('a'), refuse('b')]);
    expect(thrownBy(inner, refuse('c')).problem).toBe('3 mistakes');
    expect(thrownBy(inner, refuse('c')).within('/tmp').withHint('Mend them.').message).toBe(
      '/tmp: net.json: 3 mistakes\n  a: is wrong; expected another, got a\n  b: is wrong; expected another, got b\n  c: is wrong; expected another, got c\nMend them.',
    );
  });

  it('leaves out where it is at the beginning of an error, and nowhere else', () => {
    const lost = (where: string): CodaError => new CodaError({ kind: 'mismatch', where, problem: 'data: lost' });
    const error = new CodaError({ kind: 'mismatch', where: 'a', problem: 'all', parts: [lost('b'), lost('a'), lost('a: c')] });
    expect(error.message).toBe('a: all\n  b: data: lost\n  data: lost\n  c: data: lost');
  });

  it('lets a defect through at once', () => {
    const defect = (): never => {
      throw new TypeError('a defect');
    };
    expect(() => checkAll('net.json', [refuse('a'), defect])).toThrow(TypeError);
  });
});
