/** ONNX files as they are written: every opset, weights apart, the passes, the same bytes twice; run by ONNX Runtime, checked by onnx where Python has it. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ndArray, Random, type NamedArrays, type NdArray } from '@coda-nets/core';
import { openOnnx, openOnnxFile } from '@coda-nets/engine';
import {
  encodeModel,
  encodeModelWithData,
  exactPasses,
  inferencePasses,
  opsets,
  readModelInfo,
  runPasses,
  trace,
  type Graph,
} from '@coda-nets/onnx';
import { writeOnnx } from '@coda-nets/onnx/node';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** Batch norms folded into filters: a few roundings of float32 more, of outputs around 1. */
const FOLDED = { rtol: 1e-5, atol: 1e-5, relativeTo: 'largest' } as const;

/** ONNX Runtime has an average pooling of its own from opset 19, which adds in another order. */
const SAME = { rtol: 1e-6, atol: 0, relativeTo: 'largest' } as const;

let folder = '';
beforeAll(async () => {
  await useBackend('cpu');
  folder = await mkdtemp(join(tmpdir(), 'coda-onnx-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const random = Random.seeded(3);
const normal = (...shape: number[]): NdArray<'float32'> =>
  ndArray(
    'float32',
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
  );
const positive = (n: number): NdArray<'float32'> =>
  ndArray(
    'float32',
    [n],
    normal(n).data.map((x) => 0.5 + Math.abs(x)),
  );
const constants = { 'conv.weight': normal(3, 3, 2, 6), gamma: positive(6), beta: normal(6), mean: normal(6), variance: positive(6) };

/** Every kind of operator whose form depends on the opset, a resize, a pad, a scatter, and a batch norm behind a convolution. */
const graph = (): Graph =>
  trace(
    ({ x, target, ...w }) => {
      const weight = (name: string) => w[name] as tf.Tensor;
      const images = tf.pad(x as tf.Tensor4D, [
        [0, 0],
        [1, 1],
        [1, 1],
        [0, 0],
      ]);
      const convolved = tf.conv2d(images as tf.Tensor4D, weight('conv.weight') as tf.Tensor4D, 2, 'valid');
      const scale = tf.mul(weight('gamma'), tf.rsqrt(tf.add(weight('variance'), 1e-5)));
      const y = tf.relu(tf.add(tf.mul(convolved, scale), tf.sub(weight('beta'), tf.mul(weight('mean'), scale)))) as tf.Tensor4D;
      const large = tf.image.resizeBilinear(y, [6, 6], false, true);
      return {
        y,
        mean: tf.mean(large, [1, 2]),
        max: tf.max(large, 3),
        min: tf.min(large, [1, 2], true),
        product: tf.prod(tf.add(y, 1), 3),
        sum: tf.sum(large, [1, 2, 3]),
        pooled: tf.avgPool(large, 3, 2, 'same'),
        picked: tf.gather(tf.topk(tf.sum(large, [1, 2]), 3).values, tf.cast(target as tf.Tensor1D, 'int32')),
      };
    },
    { inputs: { x: { shape: ['batch', 8, 8, 2], dtype: 'float32' }, target: { shape: [2], dtype: 'int64' } }, constants },
    { convolutionsAsProducts: false },
  );
const inputs: NamedArrays = { x: normal(3, 8, 8, 2), target: ndArray('int64', [2], BigInt64Array.of(2n, 0n)) };

async function outputsOf(bytes: Uint8Array): Promise<NamedArrays> {
  const file = await openOnnx(bytes, 'test.onnx');
  try {
    return await file.run(inputs);
  } finally {
    await file.dispose();
  }
}

const dataOf = (array: NdArray | undefined): Float32Array => array?.data as Float32Array;

describe('opsets', () => {
  it.each(opsets)('%i gives what 17 gives, by the operators of its own', async (opset) => {
    const bytes = encodeModel(graph(), { opset });
    expect(readModelInfo(bytes, 'test.onnx').opset).toBe(opset);
    const [got, expected] = [await outputsOf(bytes), await outputsOf(encodeModel(graph()))];
    for (const [name, array] of Object.entries(expected)) expectClose(dataOf(got[name]), dataOf(array), SAME);
  });

  it('17 to 21 pass the checker, with shapes inferred', async (context) => {
    const python = [process.env['CODA_PYTHON'], 'python3', '/usr/bin/python3'].find(
      (p) => p !== undefined && spawnSync(p, ['-c', 'import onnx; assert onnx.defs.onnx_opset_version() >= 21']).status === 0,
    );
    if (python === undefined) {
      context.skip('no Python with onnx 1.16 or newer: CODA_PYTHON');
      return;
    }
    const files = await Promise.all(
      opsets.map(async (opset) => {
        const path = join(folder, `opset-${opset}.onnx`);
        await writeOnnx(path, runPasses(graph(), inferencePasses), { opset });
        return path;
      }),
    );
    files.push(join(folder, 'checked.onnx'));
    await writeOnnx(join(folder, 'checked.onnx'), runPasses(graph(), inferencePasses), { externalData: true });
    const script = [
      'import onnx, sys',
      'for path in sys.argv[1:]:',
      '  onnx.checker.check_model(path, full_check=True)',
      '  onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)',
    ].join('\n');
    const checked = spawnSync(python, ['-c', script, ...files], { encoding: 'utf8' });
    expect([checked.stderr, checked.status]).toEqual(['', 0]);
  });

  it.each([16, 22, 17.5])('%d is refused', (opset) => {
    expect(() => encodeModel(graph(), { opset })).toThrow(`encodeModel: opset: not written here; expected 17 to 21, got ${opset}`);
  });
});

describe('passes', () => {
  it('keep the numbers: exact ones the bits, those of inference to 1e-5', async () => {
    const plain = await outputsOf(encodeModel(graph()));
    const exact = runPasses(graph(), exactPasses);
    expect(await outputsOf(encodeModel(exact))).toEqual(plain);
    const folded = runPasses(graph(), inferencePasses);
    expect(folded.nodes.length).toBeLessThan(exact.nodes.length);
    const got = await outputsOf(encodeModel(folded));
    for (const [name, expected] of Object.entries(plain)) expectClose(dataOf(got[name]), dataOf(expected), FOLDED);
  });

  it('keep the NaN of 0 · ∞', async () => {
    const zero = trace(({ x }) => ({ y: tf.mul(x as tf.Tensor, 0) }), { inputs: { x: { shape: [2], dtype: 'float32' } } });
    const file = await openOnnx(encodeModel(runPasses(zero, inferencePasses)), 'zero.onnx');
    const { y } = await file.run({ x: ndArray('float32', [2], Float32Array.of(Infinity, 1)) });
    expect(y?.data).toEqual(Float32Array.of(Number.NaN, 0));
    await file.dispose();
  });

  it('give the same bytes for the same function, traced twice', () => {
    const bytes = (): Uint8Array => encodeModel(runPasses(graph(), inferencePasses), { metadata: { a: 'b' }, opset: 21 });
    expect(Buffer.compare(bytes(), bytes())).toBe(0);
  });
});

describe('weights in a file of their own', () => {
  const large = (): Graph =>
    trace(({ x, w }) => ({ y: tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D) }), {
      inputs: { x: { shape: ['batch', 64], dtype: 'float32' } },
      constants: { w: normal(64, 64) },
    });

  it('run as those inside do, and the model is small', async () => {
    const path = join(folder, 'apart.onnx');
    const apart = large();
    const { files, bytes } = await writeOnnx(path, apart, { externalData: true });
    expect(files).toEqual([path, `${path}.data`]);
    const [model, data] = await Promise.all(files.map((file) => readFile(file)));
    expect([(data as Buffer).length, (model as Buffer).length < 1000, bytes]).toEqual([
      16_384,
      true,
      (model as Buffer).length + (data as Buffer).length,
    ]);
    const x = { x: normal(2, 64) };
    const [one, two] = [await openOnnxFile(path), await openOnnx(encodeModel(apart), 'inside.onnx')];
    expect(await one.run(x)).toEqual(await two.run(x));
    await Promise.all([one.dispose(), two.dispose()]);
    await expect(openOnnx(model as Buffer, 'apart.onnx')).rejects.toThrow(
      'apart.onnx: the weights of "w" are in another file, apart.onnx.data. Open it by its path: openOnnxFile.',
    );
  });

  it('hold more than 2 GB: a table of 2.3 GB, whose file has holes for zeros', async () => {
    const rows = 9_000_000;
    // never read here: what encoding gives are views of it
    const table: NdArray = { dtype: 'float32', shape: [rows, 64], data: new Float32Array(rows * 64) };
    const graphOfTable = trace(({ i, t }) => ({ y: tf.gather(t as tf.Tensor, i as tf.Tensor1D) }), {
      inputs: { i: { shape: ['batch'], dtype: 'int32' } },
      constants: { t: table },
    });
    expect(() => encodeModel(graphOfTable)).toThrow(
      'encodeModel: the weights are larger than one ONNX file can hold; expected at most 2147483647 bytes, got 2304000000. Write them into a file beside it: encodeModelWithData.',
    );
    const path = join(folder, 'table.onnx');
    const { model, data, dataBytes } = encodeModelWithData(graphOfTable, 'table.onnx.data');
    expect(dataBytes).toBe(2_304_000_000);
    expect([...data].every((piece) => piece.buffer === table.data.buffer)).toBe(true);
    await writeFile(path, model);
    await writeFile(`${path}.data`, '');
    await truncate(`${path}.data`, dataBytes);
    const file = await openOnnxFile(path);
    const { y } = await file.run({ i: ndArray('int32', [2], Int32Array.of(0, rows - 1)) });
    expect(y?.data).toEqual(new Float32Array(128));
    await file.dispose();
  });

  it('never stand beside a model they do not belong to', async () => {
    const path = join(folder, 'replaced.onnx');
    await writeOnnx(path, large(), { externalData: true });
    await rm(`${path}.data`);
    await expect(openOnnxFile(path)).rejects.toThrow('replaced.onnx: tensor "w": its external data cannot be read: replaced.onnx.data');
    await writeFile(`${path}.data`, new Uint8Array(16_383));
    await expect(openOnnxFile(path)).rejects.toThrow(
      'replaced.onnx: tensor "w": its external data end behind the end of replaced.onnx.data; expected at most 16383, got 16384',
    );
    await rm(`${path}.data`);
    await writeFile(join(tmpdir(), 'coda-onnx-outside'), new Uint8Array(16_384));
    await symlink(join(tmpdir(), 'coda-onnx-outside'), `${path}.data`);
    await expect(openOnnxFile(path)).rejects.toThrow(
      'replaced.onnx: tensor "w": its external data are a link out of the folder: replaced.onnx.data',
    );
    await rm(join(tmpdir(), 'coda-onnx-outside'));
  });
});
