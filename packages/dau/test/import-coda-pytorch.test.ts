/** State dicts of the authors' networks: each number at its place, wrong ones refused with everything that is wrong. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodaError, initWeights, ndArray, Random, sizeOf, zerosArray, type NamedArrays, type NdArray } from '@coda-nets/core';
import { codaNetwork, codaPytorchLayers, exportCodaPytorch, importCodaPytorch, type CodaConfig } from '../src/index.ts';

const config: CodaConfig = {
  kind: 'coda',
  inputShape: [9, 8, 3],
  layers: [
    { out: 4, kernel: 3, rank: 2 },
    { out: 5, kernel: 2, stride: 3, rank: 7 },
    { out: 3, kernel: 1, rank: 6 },
  ],
  temperature: 10,
  classes: 3,
};

/** Every number is another one. */
function numbered(shape: readonly number[], start: number): NdArray<'float32'> {
  return ndArray(
    'float32',
    shape,
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => start + i),
  );
}

/** As PyTorch would save it. */
function stateDict(name: (layer: number) => string = String): Record<string, NdArray<'float32'>> {
  const state: Record<string, NdArray<'float32'>> = {};
  let channels = 6;
  for (const [l, { out, kernel, rank }] of config.layers.entries()) {
    const d = channels * kernel * kernel;
    state[`${name(l)}.weight_mod.weighting_f.0.weight`] = numbered([rank, channels, kernel, kernel], 1000 * l);
    state[`${name(l)}.weight_mod.weighting_f.1.weight`] = numbered([d * out, rank, 1, 1], 10_000 * (l + 1));
    state[`${name(l)}.weight_mod.weighting_f.1.bias`] = numbered([d * out], 100_000 * (l + 1));
    channels = out;
  }
  return state;
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (CodaError.isInstance(error)) return error.message;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('importCodaPytorch', () => {
  it('refuses a float64 that float32 has no number for, by tensor and index', () => {
    const name = '1.weight_mod.weighting_f.0.weight';
    const { shape, data } = stateDict()[name] as NdArray<'float32'>;
    const doubles = Float64Array.from(data);
    doubles[(2 * 4 + 1) * 4 + 3] = -1e39; // [2, 1, 1, 1] of [7, 4, 2, 2]
    expect(
      messageOf(() => importCodaPytorch({ ...stateDict(), [name]: ndArray('float64', shape, doubles) }, config, 'a.safetensors')),
    ).toBe(
      `a.safetensors: tensor "${name}": the number at [2, 1, 1, 1] is beyond float32, in which weights are kept; expected at most 3.4e38, got -1e+39`,
    );
    doubles[0] = Infinity;
    doubles[(2 * 4 + 1) * 4 + 3] = 0;
    expect(importCodaPytorch({ ...stateDict(), [name]: ndArray('float64', shape, doubles) }, config)['layers.1.B']?.data).toContain(
      Infinity,
    );
  });

  it('puts every number where the published index says, by a loop over all of them', () => {
    const state = stateDict();
    const weights = importCodaPytorch(state, config);
    let channels = 6;
    for (const [l, { out: n, kernel: k, rank: r }] of config.layers.entries()) {
      const at = (name: string): Float32Array => (state[`${l}.weight_mod.weighting_f.${name}`] as NdArray<'float32'>).data;
      const ours = (name: string): number[] => [...(weights[`layers.${l}.${name}`] as NdArray<'float32'>).data];
      const [A, B, b]: [number[], number[], number[]] = [[], [], []];
      for (let ky = 0; ky < k; ky++)
        for (let kx = 0; kx < k; kx++)
          for (let c = 0; c < channels; c++) {
            const patch = c * k * k + ky * k + kx;
            for (let s = 0; s < r; s++) B.push(at('0.weight')[((s * channels + c) * k + ky) * k + kx] as number);
            for (let j = 0; j < n; j++) {
              b.push(at('1.bias')[patch * n + j] as number);
              for (let s = 0; s < r; s++) A.push(at('1.weight')[(patch * n + j) * r + s] as number);
            }
          }
      expect(ours('A')).toEqual(A);
      expect(ours('B')).toEqual(B);
      expect(ours('b')).toEqual(b);
      channels = n;
    }
    for (const [name, { shape }] of Object.entries(codaNetwork(config).weights)) expect(weights[name]?.shape).toEqual(shape);
    expect(Object.keys(weights)).toHaveLength(9);
  });

  it.each([
    ['indices with gaps, of which 10 comes after 9', (l: number) => String([2, 9, 10][l])],
    ['a prefix', (l: number) => `module.net.${l + 1}`],
    ['a prefix that ends in an index', (l: number) => `0.${l}`],
  ])('takes %s', (_, name) => {
    expect(importCodaPytorch(stateDict(name), config)).toEqual(importCodaPytorch(stateDict(), config));
    const reversed = Object.fromEntries(Object.entries(stateDict(name)).reverse());
    expect(importCodaPytorch(reversed, config)).toEqual(importCodaPytorch(stateDict(), config));
  });

  it('rounds float64 to float32', () => {
    const wide = Object.fromEntries(
      Object.entries(stateDict()).map(([name, { shape, data }]) => [
        name,
        ndArray(
          'float64',
          shape,
          Float64Array.from(data, (x) => x * (1 + 1e-10)),
        ),
      ]),
    );
    expect(importCodaPytorch(wide, config)).toEqual(importCodaPytorch(stateDict(), config));
  });

  it('is undone by exportCodaPytorch, whatever the config', () => {
    const layer = fc.record({
      out: fc.integer({ min: 1, max: 5 }),
      kernel: fc.integer({ min: 1, max: 3 }),
      rank: fc.integer({ min: 1, max: 5 }),
    });
    const stacks = fc.record({
      layers: fc.array(layer, { minLength: 1, maxLength: 4 }),
      encoding: fc.constantFrom('rgb6', 'none'),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(stacks, ({ layers, encoding, seed }) => {
        const some: CodaConfig = {
          kind: 'coda',
          inputShape: [16, 16, 3],
          encoding,
          layers,
          temperature: 1,
          classes: layers.at(-1)?.out ?? 0,
        };
        const weights = initWeights(codaNetwork(some), Random.seeded(seed));
        const state = exportCodaPytorch(weights, some);
        expect(importCodaPytorch(state, some)).toEqual(weights);
        expect(codaPytorchLayers(state)).toEqual(
          layers.map((l, i) => ({ ...l, inputChannels: layers[i - 1]?.out ?? (encoding === 'rgb6' ? 6 : 3) })),
        );
      }),
      { numRuns: 40, seed: 3 },
    );
  });
});

describe('what a state dict that does not fit gets', () => {
  const layersOfFile =
    'It has the layers [{"out":4,"kernel":3,"rank":2},{"out":5,"kernel":2,"rank":7},{"out":3,"kernel":1,"rank":6}]; stride and padding leave no trace in it.';
  const [first, second, third] = config.layers as [CodaConfig['layers'][0], CodaConfig['layers'][0], CodaConfig['layers'][0]];
  const against = (changed: Partial<CodaConfig>, state: NamedArrays = stateDict()): string =>
    messageOf(() => importCodaPytorch(state, { ...config, ...changed }, 'net.safetensors'));

  it('names the layer and key of the config, and each tensor with both shapes', () => {
    expect(against({ layers: [first, { ...second, rank: 8 }, third] })).toBe(
      "net.safetensors: the state dict is not this config's: layers[1].rank: expected 8, got 7; mismatched " +
        '1.weight_mod.weighting_f.0.weight (layers[1]: expected float32 [8, 4, 2, 2], got float32 [7, 4, 2, 2]), ' +
        `1.weight_mod.weighting_f.1.weight (layers[1]: expected float32 [80, 8, 1, 1], got float32 [80, 7, 1, 1]). ${layersOfFile}`,
    );
    expect(against({ layers: [{ ...first, kernel: 5 }, second, third] })).toContain(': layers[0].kernel: expected 5, got 3; mismatched 0.');
    const otherOut = against({ layers: [{ ...first, out: 8 }, second, third] });
    expect(otherOut).toContain(': layers[0].out: expected 8, got 4; mismatched 0.weight_mod.weighting_f.1.weight (');
    expect(otherOut).toContain('1.weight_mod.weighting_f.0.weight (layers[1]: expected float32 [7, 8, 2, 2], got float32 [7, 4, 2, 2])');
    expect(against({ encoding: 'none' })).toContain(': channels of the encoding: expected 3, got 6; mismatched 0.');
  });

  it('lists missing, unexpected and mismatched names together', () => {
    const state: Record<string, NdArray> = stateDict();
    delete state['2.weight_mod.weighting_f.1.bias'];
    state['2.bn.running_mean'] = zerosArray('float32', [3]);
    state['1.weight_mod.weighting_f.0.weight'] = zerosArray('int32', [7, 4, 2, 2]);
    expect(against({}, state)).toBe(
      "net.safetensors: the state dict is not this config's: missing 2.weight_mod.weighting_f.1.bias; unexpected 2.bn.running_mean; mismatched " +
        '1.weight_mod.weighting_f.0.weight (layers[1]: expected float32 [7, 4, 2, 2], got int32 [7, 4, 2, 2])',
    );
  });

  it('says so where there are more or fewer layers', () => {
    expect(against({ layers: [first, { ...second, out: 3 }] })).toMatch(
      /: layers\.length: expected 2, got 3; layers\[1\]\.out: expected 3, got 5; unexpected 2\.weight_mod\.weighting_f\.0\.weight, 2\.weight_mod/,
    );
    expect(against({ layers: [first, second, third, { ...third, out: 3 }] })).toContain(
      ': layers.length: expected 4, got 3; missing all of layers[3]. It has the layers',
    );
  });

  it('takes the layers of one prefix only', () => {
    const state = { ...stateDict((l) => `a.${l}`), 'b.0.weight_mod.weighting_f.1.bias': zerosArray('float32', [216]) };
    expect(against({}, state)).toContain(': unexpected b.0.weight_mod.weighting_f.1.bias. It has the layers');
  });

  it('says what names it looked for where there is none of them', () => {
    const resnet = { 'conv1.weight': zerosArray('float32', [64, 3, 7, 7]) };
    expect(against({}, resnet)).toBe(
      "net.safetensors: the state dict is not this config's: missing all of layers[0], all of layers[1], all of layers[2]; unexpected conv1.weight. " +
        'Names such as 0.weight_mod.weighting_f.0.weight were looked for.',
    );
    expect(codaPytorchLayers(resnet)).toBeUndefined();
  });

  it('reads no layers from shapes that are no network', () => {
    for (const [name, shape] of [
      ['0.weight_mod.weighting_f.0.weight', [2, 6, 3, 2]],
      ['0.weight_mod.weighting_f.1.weight', [216, 3, 1, 1]],
      ['0.weight_mod.weighting_f.1.bias', [215]],
      ['1.weight_mod.weighting_f.0.weight', [7, 5, 2, 2]],
    ] as const) {
      expect(codaPytorchLayers({ ...stateDict(), [name]: zerosArray('float32', shape) })).toBeUndefined();
    }
  });

  it('lists the first of very many names', () => {
    const state = {
      ...stateDict(),
      ...Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`x${i}`, zerosArray('float32', [1])])),
    };
    expect(against({}, state)).toContain('x7, and 42 more');
  });
});

it('exportCodaPytorch lists the weights that are not the config’s', () => {
  expect(messageOf(() => exportCodaPytorch({}, config))).toContain('exportCodaPytorch: weights: ');
});

it('refuses efficient units, which have no b, both ways', () => {
  const efficient: CodaConfig = { ...config, norm: 'frobenius' };
  const text = 'config: norm: efficient units have no place in the authors’ state dicts; expected sq or l2';
  expect(() => importCodaPytorch(stateDict(), efficient)).toThrow(`importCodaPytorch: ${text}`);
  const weights = initWeights(codaNetwork(efficient), Random.seeded(0));
  expect(() => exportCodaPytorch(weights, efficient)).toThrow(`exportCodaPytorch: ${text}`);
});
