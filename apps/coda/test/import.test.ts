/** From a PyTorch state dict to logits and maps by the command line alone, against a float64 reference of PyTorch that builds every weight. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeNpy, decodeSafetensors, encodeNpy, encodeSafetensors, ndArray, type NdArray } from '@coda-nets/core';
import { exportCodaPytorch } from '@coda-nets/dau';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/index.ts';
import { coda } from './run-coda.ts';

/** float32 here, float64 there; relative to the largest of each tensor, since contributions cancel. Reached: 1e-6. */
const TOLERANCE = { rtol: 1e-5, relativeTo: 'largest' } as const;

const goldens = fileURLToPath(new URL('golden/coda-pytorch/', import.meta.url));
const golden = (name: string): string => join(goldens, name);
let folder = '';
const at = (name: string): string => join(folder, name);

const importing = (net: string, ...more: string[]): string[] => {
  return ['import', golden(`${net}.state.safetensors`), '--format', 'coda-pytorch', '--config', golden(`${net}.config.json`), ...more];
};

async function npy(path: string): Promise<NdArray> {
  return decodeNpy(await readFile(path), path);
}

function tensor({ data, shape }: NdArray): tf.Tensor {
  return tf.tensor(data as Float32Array, [...shape]);
}

beforeAll(async () => {
  await useBackend('cpu');
  folder = await mkdtemp(join(tmpdir(), 'coda-import-'));
  for (const net of ['sq', 'l2']) {
    const { code, err } = await coda(...importing(net, '--out', at(`${net}.safetensors`), '--json'));
    expect([code, err]).toEqual([0, expect.stringContaining('4 layers')]);
  }
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

it('the goldens are what their manifest describes', async () => {
  const { sha256 } = JSON.parse(await readFile(golden('manifest.json'), 'utf8')) as { sha256: Record<string, string> };
  expect([...Object.keys(sha256), 'manifest.json'].sort()).toEqual((await readdir(goldens)).sort());
  for (const [name, hash] of Object.entries(sha256)) {
    expect([
      name,
      createHash('sha256')
        .update(await readFile(golden(name)))
        .digest('hex'),
    ]).toEqual([name, hash]);
  }
});

describe.each(['sq', 'l2'])('an imported %s network', (net) => {
  const engines = ['onnxruntime', 'cpu', 'wasm'];

  it.each(engines.flatMap((engine) => ['top', 'given'].map((target) => [engine, target] as const)))(
    'on %s gives PyTorch’s logits, and its map of the %s class at every tap, for a batch of another size than the trained one',
    async (engine, target) => {
      const out = at(`${net}-${engine}-${target}`);
      // on wasm, where a clone is a copy, tfjs takes what an op saves for its gradient for a leak
      tf.env().set('IS_TEST', engine !== 'wasm');
      const targets = target === 'given' ? ['--target', golden(`${net}.targets.npy`)] : [];
      const { code, err } = await coda(
        'explain',
        at(`${net}.safetensors`),
        golden(`${net}.batch.npy`),
        '--out',
        out,
        '--engine',
        engine,
        ...targets,
        '--json',
      );
      expect([code, err]).toEqual([0, expect.not.stringContaining('error')]);
      const { tensors } = decodeSafetensors(await readFile(golden(`${net}.expected.safetensors`)), net);
      const taps = ['input', 'layers.0', 'layers.1', 'layers.2', 'layers.3'];
      expect((await readdir(out)).sort()).toEqual(['explanation.json', ...taps.map((tap) => `${tap}.npy`), 'logits.npy']);
      const compare = async (file: string, name: string): Promise<void> => {
        const actual = await npy(join(out, file));
        expect(actual.dtype).toBe('float32');
        expectClose(tensor(actual), tensor(tensors[name] as NdArray), TOLERANCE);
      };
      await compare('logits.npy', 'logits');
      for (const tap of taps) await compare(`${tap}.npy`, `${target}.${tap}`);
      const record = JSON.parse(await readFile(join(out, 'explanation.json'), 'utf8')) as {
        inputs: { target: number }[];
      };
      expect(record.inputs.map((input) => input.target)).toEqual(Array.from(tensors[`${target}.target`]?.data as BigInt64Array, Number));
    },
  );

  it('predicts the same logits, and describes itself', async () => {
    expect((await coda('predict', at(`${net}.safetensors`), golden(`${net}.batch.npy`), '--out', at('logits.npy'))).code).toBe(0);
    const { tensors } = decodeSafetensors(await readFile(golden(`${net}.expected.safetensors`)), net);
    expectClose(tensor(await npy(at('logits.npy'))), tensor(tensors['logits'] as NdArray), TOLERANCE);
    const info = JSON.parse((await coda('info', at(`${net}.safetensors`), '--json')).out) as {
      provenance: object;
      taps: object[];
    };
    expect(info.taps).toHaveLength(5);
    expect(info.provenance).toEqual({
      importedFrom: `${net}.state.safetensors`,
      format: 'coda-pytorch',
      sha256: createHash('sha256')
        .update(await readFile(golden(`${net}.state.safetensors`)))
        .digest('hex'),
    });
  });

  it('goes back to the state dict it came from', async () => {
    const { model } = await openModel(at(`${net}.safetensors`));
    const { tensors } = decodeSafetensors(await readFile(golden(`${net}.state.safetensors`)), net);
    const back = exportCodaPytorch(model.weights, model.config as never);
    const byLayer = (name: string): [number, string] => [
      Number(/(\d+)\.weight_mod/.exec(name)?.[1]),
      name.slice(name.indexOf('weight_mod')),
    ];
    const sorted = Object.keys(tensors).sort((a, b) => byLayer(a)[0] - byLayer(b)[0] || (byLayer(a)[1] < byLayer(b)[1] ? -1 : 1));
    const names = Object.keys(back).sort();
    for (const [i, name] of sorted.entries()) {
      expect(back[names[i] as string]?.shape).toEqual(tensors[name]?.shape);
      expect([...(back[names[i] as string]?.data as Float32Array)]).toEqual(Array.from(tensors[name]?.data as Float32Array, Math.fround));
    }
  });
});

it('a batch goes in as it is: bytes are 255ths, and the size is the file’s', async () => {
  const bytes = ndArray(
    'uint8',
    [1, 7, 30, 3],
    Uint8Array.from({ length: 630 }, (_, i) => (i * 37) % 256),
  );
  await writeFile(at('bytes.npy'), encodeNpy(bytes));
  await writeFile(
    at('floats.NPY'),
    encodeNpy(
      ndArray(
        'float32',
        bytes.shape,
        Float32Array.from(bytes.data, (x) => x / 255),
      ),
    ),
  );
  for (const name of ['bytes.npy', 'floats.NPY']) {
    expect((await coda('explain', at('sq.safetensors'), at(name), '--out', at(`out-${name}`))).code).toBe(0);
  }
  expect((await npy(at('out-bytes.npy/input.npy'))).shape).toEqual([1, 7, 30]);
  expect(await npy(at('out-bytes.npy/input.npy'))).toEqual(await npy(at('out-floats.NPY/input.npy')));
});

describe('class names', () => {
  const namesIn = async (model: string): Promise<readonly string[]> => (await openModel(at(model))).model.classNames;

  it('are numbers, or come from a list, a JSON array or a data set', async () => {
    expect(await namesIn('sq.safetensors')).toEqual(['0', '1', '2', '3']);
    await writeFile(at('names.txt'), 'red fox\r\nowl\ncrane\ncrane\n\n');
    await writeFile(at('names.json'), '["a", "b", "c", "d"]');
    expect((await coda(...importing('sq', '--out', at('named'), '--class-names', at('names.txt')))).code).toBe(0);
    expect(await namesIn('named')).toEqual(['red fox', 'owl', 'crane', 'crane']);
    expect((await coda(...importing('sq', '--out', at('named'), '--class-names', at('names.json')))).code).toBe(0);
    expect(await namesIn('named')).toEqual(['a', 'b', 'c', 'd']);
    expect((await coda(...importing('l2', '--out', at('named'), '--class-names', 'cifar10'))).code).toBe(0);
    expect((await namesIn('named'))[3]).toBe('cat');
  });
});

describe('what bad input gets', () => {
  it('answers each with one clear error and writes nothing', async () => {
    const state = decodeSafetensors(await readFile(golden('sq.state.safetensors')), 'sq').tensors;
    const config = JSON.parse(await readFile(golden('sq.config.json'), 'utf8')) as { layers: object[] };
    const file = async (name: string, content: string | Uint8Array): Promise<string> => {
      await writeFile(at(name), content);
      return at(name);
    };
    const withConfig = async (name: string, value: object): Promise<string[]> => {
      return ['import', golden('sq.state.safetensors'), '--format', 'coda-pytorch', '--config', await file(name, JSON.stringify(value))];
    };
    const withState = (path: string): string[] => ['import', path, '--format', 'coda-pytorch', '--config', golden('sq.config.json')];
    const rank = { ...config, layers: config.layers.map((layer, i) => (i === 2 ? { ...layer, rank: 4 } : layer)) };
    const bare = ['import', golden('sq.state.safetensors'), '--format', 'coda-pytorch'];
    const complex = encodeSafetensors({ x: ndArray('int64', [1], BigInt64Array.of(1n)) });
    const c64 = new TextDecoder('latin1').decode(complex).replace('"I64"', '"C64"');
    const list =
      '"layers": \\[\\{"out":6,"kernel":3,"rank":4\\},\\{"out":8,"kernel":3,"rank":5\\},\\{"out":4,"kernel":2,"rank":33\\},\\{"out":4,"kernel":1,"rank":3\\}\\]';
    const cases: readonly (readonly [string[], number, RegExp])[] = [
      [
        ['import', 'x.safetensors', '--format', 'coda-pytroch'],
        2,
        /no format that can be imported; expected coda-pytorch, torchvision, timm, got coda-pytroch\. Did you mean coda-pytorch\?/,
      ],
      [
        bare,
        2,
        new RegExp(
          `--config: missing\\. .*sq\\.state\\.safetensors has "encoding": "rgb6", "classes": 4, ${list}; stride and padding of each layer, inputShape, norm`,
        ),
      ],
      [['import', at('sq.safetensors'), '--format', 'coda-pytorch'], 2, /is no state dict of a CoDA network/],
      [
        await withConfig('rank.json', rank),
        1,
        /layers\[2\]\.rank: expected 4, got 33; mismatched module\.10\.weight_mod\.weighting_f\.0\.weight \(layers\[2\]: expected float32 \[4, 8, 2, 2\], got float32 \[33, 8, 2, 2\]\)/,
      ],
      [
        await withConfig('key.json', { ...config, temprature: 2 }),
        2,
        /key\.json: codaNetwork: config: temprature: unknown key.*Did you mean "temperature"\?/,
      ],
      [
        await withConfig('resnet.json', { kind: 'resnet', depth: 8 }),
        2,
        /resnet\.json: kind: no config of a CoDA network; expected "coda", got "resnet"/,
      ],
      [await withConfig('list.json', []), 2, /list\.json: not a config; expected a JSON object, got an array/],
      [
        ['import', golden('sq.state.safetensors'), '--format', 'coda-pytorch', '--config', await file('broken.json', '{"kind":')],
        2,
        /broken\.json: not JSON/,
      ],
      [withState(at('nowhere.safetensors')), 1, /nowhere\.safetensors: no such file/],
      [
        withState(await file('zip.pt', 'PK\u0003\u0004 and so on')),
        1,
        /zip\.pt: a pickle file of PyTorch.*\n +import torch, safetensors\.torch; .*zip\.pt".*\n +safetensors\.torch\.save_file\(.*zip\.safetensors"\)\n$/,
      ],
      [withState(await file('legacy', Uint8Array.of(0x80, 2, 0x8a, 10, 0, 0, 0, 0, 0))), 1, /legacy: a pickle file/],
      [
        withState(
          await file(
            'complex.safetensors',
            Uint8Array.from(c64, (c) => c.charCodeAt(0)),
          ),
        ),
        1,
        /"x": no array type for the dtype "C64".*tensor\.float\(\)/,
      ],
      [
        withState(await file('more.safetensors', encodeSafetensors({ ...state, extra: ndArray('float32', [1], new Float32Array(1)) }))),
        1,
        /unexpected extra/,
      ],
      [
        importing('sq', '--class-names', await file('three.txt', 'a\nb\nc\n')),
        2,
        /three\.txt: not one name for each class of the config; expected 4, got 3/,
      ],
      [importing('sq', '--class-names', await file('gap.txt', 'a\n\nc\nd\n')), 2, /gap\.txt: the name of class 1 is empty/],
      [
        importing('sq', '--class-names', await file('object.json', '{"0": "a"}')),
        2,
        /object\.json: no class names; expected a JSON array of strings/,
      ],
    ];
    for (const [i, [args, code, message]] of cases.entries()) {
      const result = await coda(...args, '--out', at(`no${i}`));
      expect([i, result.code, result.err]).toEqual([i, code, expect.stringMatching(message)]);
      expect(result.err).not.toContain('    at ');
    }
    expect((await readdir(folder)).filter((name) => /^no\d/.test(name))).toEqual([]);
  });

  it('does not write over the state dict', async () => {
    const bytes = await readFile(golden('sq.state.safetensors'));
    await writeFile(at('own.safetensors'), bytes);
    const result = await coda(
      'import',
      at('own.safetensors'),
      '--format',
      'coda-pytorch',
      '--config',
      golden('sq.config.json'),
      '--out',
      at('own.safetensors'),
    );
    expect([result.code, result.err]).toEqual([
      2,
      expect.stringContaining('own.safetensors is read by this command and would be overwritten'),
    ]);
    expect(await readFile(at('own.safetensors'))).toEqual(bytes);
  });

  it('refuses a batch that is no batch of images', async () => {
    const fortran = `${"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 12, 12, 3), }".padEnd(117)}\n`;
    const header = Uint8Array.from([0x93, ...Buffer.from('NUMPY'), 1, 0, 118, 0, ...Buffer.from(fortran)]);
    const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
      ['fortran.npy', Buffer.concat([header, new Uint8Array(1728)]), /Fortran order; expected C order/],
      ['nchw.npy', encodeNpy(ndArray('uint8', [1, 3, 12, 12], new Uint8Array(432))), /not a batch of images; expected \[N, H, W, 3\]/],
      [
        'bright.npy',
        encodeNpy(ndArray('float32', [1, 12, 12, 3], new Float32Array(432).fill(2))),
        /is no intensity; expected float32 from 0 to 1, got 2/,
      ],
      ['small.npy', encodeNpy(ndArray('uint8', [1, 1, 1, 3], new Uint8Array(3))), /dauConv/],
    ];
    for (const [name, bytes, message] of cases) {
      await writeFile(at(name), bytes);
      const result = await coda('explain', at('sq.safetensors'), at(name), '--out', at('nothing'));
      expect([result.code, result.err]).toEqual([expect.any(Number), expect.stringMatching(message)]);
      expect(result.code).not.toBe(0);
    }
  });
});
