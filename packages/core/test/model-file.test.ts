import { describe, expect, it } from 'vitest';
import { CodaError, decodeModel, decodeSafetensors, encodeModel, encodeSafetensors, ndArray, type Model } from '../src/index.ts';

const model: Model = {
  config: { kind: 'coda', classes: 2, layers: [{ out: 2 }] },
  preprocessing: { size: [32, 24], layout: 'rgb', range: [0, 1] },
  classNames: ['cat', 'dög'],
  weights: { w: ndArray('float32', [2], Float32Array.of(1, 2)), b: ndArray('float32', [], Float32Array.of(3)) },
  provenance: { seed: 1, data: 'CIFAR-10' },
};
const metadata = decodeSafetensors(encodeModel(model), 'm').metadata;

function errorOf(bytes: Uint8Array): CodaError {
  try {
    decodeModel(bytes, 'm.safetensors');
  } catch (error) {
    if (CodaError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const card = {
  data: 'CIFAR-10',
  recipe: 'SGD',
  accuracy: [{ metric: 'top-1', value: 0.9, on: 'test images' }],
  licence: 'Apache-2.0',
  limits: ['ten classes'],
} as const;

describe('a card', () => {
  it('comes back as it was, with and without what is optional', () => {
    for (const given of [card, { ...card, hardware: '2 cores', source: 'https://example.org' }]) {
      expect(decodeModel(encodeModel({ ...model, card: given }), 'm').card).toEqual(given);
    }
  });

  it.each([
    [{ ...card, licence: undefined }, 'm.safetensors: metadata "card": licence: missing'],
    [{ ...card, data: '\u001b[2J' }, 'metadata "card": data: a control character'],
    [{ ...card, accuracy: [{ ...card.accuracy[0], value: 90 }] }, 'metadata "card": accuracy[0].value'],
    [{ ...card, accuracy: [{ ...card.accuracy[0], value: Number.NaN }] }, 'metadata "card": accuracy[0].value'],
    [
      { ...card, license: 'MIT' },
      'metadata "card": license: unknown key; expected one of data, recipe, accuracy, hardware, licence, limits, source. Did you mean "licence"?',
    ],
    [{ ...card, limits: 'none' }, 'metadata "card": limits'],
  ])('that is not one is refused: %j', (wrong, message) => {
    expect(errorOf(encodeModel({ ...model, card: wrong as never }))).toMatchObject({
      kind: 'malformed',
      message: expect.stringContaining(message),
    });
  });
});

describe('model file', () => {
  it('tells of everything that is wrong in its metadata', () => {
    const error = errorOf(encodeModel({ ...model, preprocessing: { size: [0, 8], layout: 'bgr' } as never }));
    expect(error.message).toBe(`m.safetensors: metadata "preprocessing": 3 mistakes
  size[0]: invalid value; expected >=1, got 0
  layout: not a valid value; expected "rgb", got "bgr". Did you mean "rgb"?
  range: missing`);
    expect([error, ...(error.parts ?? [])].map(({ kind }) => kind)).toEqual(['malformed', 'malformed', 'malformed', 'malformed']);
  });

  it('gives back the model, with and without what is optional', () => {
    expect(decodeModel(encodeModel(model), 'm')).toEqual(model);
    const { provenance: _, ...bare } = { ...model, preprocessing: { size: [8, 8], layout: 'rgb', range: [0, 1] } as const };
    expect(decodeModel(encodeModel(bare), 'm')).toStrictEqual(bare);
  });

  it('has the documented metadata, the same bytes each time', () => {
    expect(metadata).toEqual({
      format: 'coda-nets',
      version: '1',
      config: '{"kind":"coda","classes":2,"layers":[{"out":2}]}',
      preprocessing: '{"size":[32,24],"layout":"rgb","range":[0,1]}',
      class_names: '["cat","dög"]',
      provenance: '{"seed":1,"data":"CIFAR-10"}',
    });
    expect(encodeModel(model)).toEqual(encodeModel(decodeModel(encodeModel(model), 'm')));
  });

  const withMetadata = (changes: Record<string, string | undefined>): Uint8Array => {
    const entries = Object.entries({ ...metadata, ...changes }).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return encodeSafetensors(model.weights, Object.fromEntries(entries));
  };

  it.each<[string, Uint8Array, CodaError['kind'], string]>([
    [
      'a foreign file',
      encodeSafetensors(model.weights),
      'malformed',
      'm.safetensors: this safetensors file is not a coda-nets model: its metadata does not say so; expected format "coda-nets", got none. Foreign weights become a model with `coda import`.',
    ],
    [
      'a file of another library',
      withMetadata({ format: 'pt' }),
      'malformed',
      'm.safetensors: this safetensors file is not a coda-nets model: its metadata does not say so; expected format "coda-nets", got "pt". Foreign weights become a model with `coda import`.',
    ],
    [
      'a later version',
      withMetadata({ version: '2' }),
      'unsupported',
      'm.safetensors: the model file has another version; expected 1, got 2',
    ],
    ['a file without its config', withMetadata({ config: undefined }), 'malformed', 'm.safetensors: metadata "config": missing'],
    ['a config that is not JSON', withMetadata({ config: '{' }), 'malformed', 'm.safetensors: metadata "config": not JSON'],
    ['a config without a kind', withMetadata({ config: '{}' }), 'malformed', 'm.safetensors: metadata "config": kind: missing'],
    [
      'class names that are numbers',
      withMetadata({ class_names: '["a",1]' }),
      'malformed',
      'm.safetensors: metadata "class_names": [1]: not a valid value; expected string, got 1',
    ],
    [
      'a class name that rewrites the terminal',
      withMetadata({ class_names: '["cat","\\u001b[2J"]' }),
      'malformed',
      'm.safetensors: metadata "class_names": [1]: a control character; got "\\u001b[2J"',
    ],
    [
      'an interpolation, which nobody would do',
      withMetadata({ preprocessing: '{"size":[1,1],"layout":"rgb","range":[0,1],"interpolation":"lanczos"}' }),
      'malformed',
      'm.safetensors: metadata "preprocessing": interpolation: not a valid value; expected ("bilinear" | "bicubic"), got "lanczos"',
    ],
    [
      'a size of zero',
      withMetadata({ preprocessing: '{"size":[0,1],"layout":"rgb","range":[0,1]}' }),
      'malformed',
      'm.safetensors: metadata "preprocessing": size[0]: invalid value; expected >=1, got 0',
    ],
    [
      'another layout',
      withMetadata({ preprocessing: '{"size":[1,1],"layout":"bgr","range":[0,1]}' }),
      'malformed',
      'm.safetensors: metadata "preprocessing": layout: not a valid value; expected "rgb", got "bgr". Did you mean "rgb"?',
    ],
    [
      'half a file',
      encodeModel(model).slice(0, -3),
      'malformed',
      'm.safetensors: tensor "w": the data runs past the end of the file; expected at most 9 bytes of data, got 12',
    ],
  ])('answers %s with one clear error', (_, bytes, kind, text) => {
    const error = errorOf(bytes);
    expect(error.message).toBe(text);
    expect(error.kind).toBe(kind);
  });
});
