import { describe, expect, it } from 'vitest';
import { CodaError, checkWeights, initWeights, ndArray, Random, zerosArray, type WeightSpec } from '../src/index.ts';

function spec(...shape: number[]): WeightSpec {
  return {
    shape,
    role: 'parameter',
    decay: true,
    init: (random) => {
      const array = zerosArray('float32', shape);
      array.data.forEach((_, i) => (array.data[i] = random.uniform()));
      return array;
    },
  };
}

const network = { weights: { 'fc.weight': spec(2, 3), 'fc.bias': spec(3) } };

describe('checkWeights', () => {
  it('takes what initWeights makes', () => {
    const weights = initWeights(network, Random.seeded(1));
    expect(Object.keys(weights)).toEqual(['fc.weight', 'fc.bias']);
    checkWeights(network, weights, 'fresh');
  });

  it('reports missing, unexpected and mismatched names together', () => {
    const weights = { 'fc.weight': zerosArray('float32', [3, 2]), 'fc.bais': zerosArray('float32', [3]) };
    expect(() => checkWeights(network, weights, 'm.safetensors')).toThrow(
      'm.safetensors: the weights are not this network\'s: missing fc.bias; unexpected fc.bais; mismatched fc.weight (expected float32 [2, 3], got float32 [3, 2]). "fc.bais" may be meant for "fc.bias".',
    );
  });

  it('reports another dtype, and is not fooled by names objects inherit', () => {
    const weights = { 'fc.weight': zerosArray('float64', [2, 3]), 'fc.bias': zerosArray('float32', [3]) };
    expect(() => checkWeights(network, weights, 'm')).toThrow('mismatched fc.weight (expected float32 [2, 3], got float64 [2, 3])');
    expect(() => checkWeights({ weights: { toString: spec(1) } }, {}, 'm')).toThrow('missing toString');
    expect(() => checkWeights({ weights: {} }, { constructor: zerosArray('float32', [1]) }, 'm')).toThrow('unexpected constructor');
  });

  it('lists eight names of a kind and counts the rest', () => {
    const many = Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`w${i}`, spec(1)]));
    let error: unknown;
    try {
      checkWeights({ weights: many }, {}, 'm');
    } catch (thrown) {
      error = thrown;
    }
    expect(CodaError.isInstance(error) && error.kind).toBe('mismatch');
    expect((error as Error).message).toBe("m: the weights are not this network's: missing w0, w1, w2, w3, w4, w5, w6, w7, and 3 more");
  });
});

describe('initWeights', () => {
  it('gives each weight a stream of its own, by its name', () => {
    const one = initWeights(network, Random.seeded(1));
    const other = initWeights({ weights: { 'fc.bias': spec(3), first: spec(100) } }, Random.seeded(1));
    expect(other['fc.bias']).toEqual(one['fc.bias']);
    const expected = Random.seeded(1).split('fc.bias');
    expect(one['fc.bias']).toEqual(
      ndArray(
        'float32',
        [3],
        Float32Array.from({ length: 3 }, () => expected.uniform()),
      ),
    );
  });

  it('refuses what no machine holds before it makes any of it', () => {
    const never = (): never => {
      throw new Error('allocated');
    };
    const network = { weights: { small: { ...spec(1), init: never }, huge: { ...spec(65_536, 32, 32, 64), init: never } } };
    expect(() => initWeights(network, Random.seeded(1))).toThrow(
      'initWeights: the network has too many weights; expected at most 1,000,000,000, got 4,294,967,297',
    );
  });
});
