/**
 * Models that other people trained, converted and published on npm: exported, checked, and run by ONNX Runtime against TensorFlow.js. Packages are fetched as
 * published and pinned by hash; where npm cannot get one, its tests are skipped.
 */
import type { NamedArrays, NdArray, TensorFunction } from '@coda-nets/core';
import { openSize, Random } from '@coda-nets/core';
import { openOnnx } from '@coda-nets/engine';
import { encodeModel, trace } from '@coda-nets/onnx';
import { graphModelFunction } from '@coda-nets/onnx/graph-model';
import { layersModelFunction, type ModelFunction } from '@coda-nets/onnx/layers-model';
import { tfjsModelFiles } from '@coda-nets/onnx/node';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { loadLayersModel } from '@tensorflow/tfjs-layers';
import * as tf from '@tensorflow/tfjs-core';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerEsrganLayers } from './esrgan-layers.ts';
import { fetchPackage, type PublishedPackage } from './fetch-package.ts';

/** Of the largest value of an output: sums over up to 77 convolutions in another order, of values up to some hundred pixels. */
const TOLERANCE = { rtol: 1e-4, atol: 1e-6, relativeTo: 'largest' } as const;
/** Batch, height and width where they are open: three sizes that nothing was traced with. */
const SIZES = [
  { batch: 1, height: 24, width: 20 },
  { batch: 2, height: 17, width: 31 },
  { batch: 3, height: 40, width: 9 },
] as const;

const packages: readonly (PublishedPackage & { readonly models: readonly string[] })[] = [
  {
    name: '@spotify/basic-pitch',
    version: '1.0.1',
    license: 'Apache-2.0',
    integrity: 'sha512-SAxiFi9ZnyhGdhWEOS9YVhdunZiKzI3I5zOccZzDzQRr4s00Ii9lphqlPMMfby3iYa7TSupB2g8yuu1kJ6gL+Q==',
    models: ['model/model.json'],
  },
  {
    name: '@upscalerjs/default-model',
    version: '1.0.0',
    license: 'MIT',
    integrity: 'sha512-D17cokQBpciTBrlFuY5WtS7TH0WE3h5m44PYiPPCSq1jlWjG9BvH5/rnm9AhQPV6TT3Bqbg5GAPV8/qpR47/hQ==',
    models: ['models/model.json'],
  },
  {
    name: '@upscalerjs/esrgan-slim',
    version: '1.0.0',
    license: 'MIT',
    integrity: 'sha512-DXtwn5SE71+pZKluN/hGeLaZv6ZylyFQYSvMqU08kKCEA5Y9Q1cIIk4EvPTPZw8VqGi2C6F02c8OjhtId4BK2w==',
    models: ['models/x3/model.json', 'models/x8/model.json'],
  },
  {
    name: '@vladmandic/human',
    version: '3.3.6',
    license: 'MIT',
    integrity: 'sha512-Nr5mPfq1gQ+uKeXY5uM3Fj8UxvF5CEh2s6txM5wRThqaW0mF9huooOuZSrT8hhGho0hGaXLFdAwfD/2+teCv6A==',
    models: [
      'antispoof',
      'blazeface',
      'centernet',
      'emotion',
      'facemesh',
      'faceres',
      'handlandmark-lite',
      'iris',
      'liveness',
      'movenet-lightning',
    ].map((name) => `models/${name}.json`),
  },
];

/** Music through wasm takes a while where others compute too. */
const PATIENCE_MS = 240_000;

beforeAll(async () => {
  await useBackend('wasm');
  registerEsrganLayers();
});

async function opened(path: string): Promise<ModelFunction> {
  const { format, handler } = await tfjsModelFiles(path);
  return format === 'graph-model' ? graphModelFunction(await loadGraphModel(handler)) : layersModelFunction(await loadLayersModel(handler));
}

/** Pixels and samples in [0, 1], or 0 … 254 where the model takes whole numbers. */
function randomInputs({ signature }: ModelFunction, sizes: Readonly<Record<string, number>>): NamedArrays {
  const random = Random.seeded(5);
  return Object.fromEntries(
    Object.entries(signature.inputs).map(([name, spec]) => {
      const shape = spec.shape.map((d) => (typeof d === 'number' ? d : (sizes[openSize(d).symbol] as number) * openSize(d).times));
      const length = shape.reduce((a, b) => a * b, 1);
      const data =
        spec.dtype === 'float32'
          ? Float32Array.from({ length }, () => random.uniform())
          : Int32Array.from({ length }, () => random.below(255));
      return [name, { dtype: spec.dtype, shape, data } as NdArray];
    }),
  );
}

function eagerly(fn: TensorFunction, inputs: NamedArrays): NamedArrays {
  tf.engine().startScope('real model');
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, { data, shape, dtype }]) => [name, tf.tensor(data as Float32Array, [...shape], dtype as 'float32')]),
  );
  const results = Object.fromEntries(
    Object.entries(fn(tensors)).map(([name, y]) => [name, { dtype: y.dtype, shape: y.shape, data: y.dataSync().slice() } as NdArray]),
  );
  tf.engine().endScope();
  return results;
}

const python = ['python3', '/usr/bin/python3'].find((p) => spawnSync(p, ['-c', 'import onnx']).status === 0);

describe.each(packages)('$name $version ($license)', ({ models, ...published }) => {
  let folder: string | undefined;
  const exported = mkdtempSync(join(tmpdir(), 'coda-real-models-'));

  beforeAll(async () => {
    folder = await fetchPackage(published);
  }, 180_000);

  afterAll(() => rmSync(exported, { recursive: true }));

  it.for(models)('%s runs in ONNX Runtime as in TensorFlow.js', { timeout: PATIENCE_MS }, async (path, context) => {
    if (folder === undefined) context.skip(`npm could not get ${published.name}`);
    const model = await opened(join(folder as string, path));
    const bytes = encodeModel(trace(model.fn, model.signature, { names: model.names }));
    writeFileSync(join(exported, `${path.replaceAll('/', '_')}.onnx`), bytes);
    const file = await openOnnx(bytes, path, { threads: 1 });
    const open = Object.values(model.signature.inputs).flatMap(({ shape }) => shape.filter((d) => typeof d === 'string'));
    for (const sizes of SIZES.slice(0, open.includes('height') ? 3 : open.length > 0 ? 2 : 1)) {
      const inputs = randomInputs(model, sizes);
      const [actual, expected] = [await file.run(inputs), eagerly(model.fn, inputs)];
      expect(Object.keys(actual).toSorted()).toEqual(Object.keys(expected).toSorted());
      for (const [name, { shape, data }] of Object.entries(expected)) {
        expect(actual[name]?.shape).toEqual(shape);
        expectClose(actual[name]?.data as Float32Array, data as Float32Array, TOLERANCE);
      }
    }
    await file.dispose();
  });

  it('passes the official checker', (context) => {
    if (folder === undefined) context.skip(`npm could not get ${published.name}`);
    if (python === undefined) context.skip('no python3-onnx here for onnx.checker');
    const script =
      'import glob,onnx,sys\nfor f in glob.glob(sys.argv[1]+"/*.onnx"):\n m=onnx.load(f); onnx.checker.check_model(m, full_check=True); onnx.shape_inference.infer_shapes(m, strict_mode=True); print(f)';
    const checked = spawnSync(python as string, ['-c', script, exported], { encoding: 'utf8' });
    expect(checked.stderr).toBe('');
    expect(checked.stdout.trim().split('\n').length).toBe(models.length);
  });
});

it('a detector with loops and suppression is refused by the name of a node', async (context) => {
  const folder = await fetchPackage(packages.find(({ name }) => name === '@vladmandic/human') as PublishedPackage);
  if (folder === undefined) context.skip('npm could not get @vladmandic/human');
  const { fn, signature } = await opened(join(folder as string, 'models/handtrack.json'));
  expect(() => trace(fn, signature)).toThrow(
    /^model: node "StatefulPartitionedCall\/Postprocessor.*": Where is control flow, or its size depends on values/,
  );
});
