/**
 * Models of TensorFlow.js that lie about themselves: a CodaError each, soon, and before anything large is allocated. First by hand, then a good model.json with
 * values of its tree replaced, removed or repeated at random.
 */
import { CodaError, Random } from '@coda-nets/core';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportTfjsModel } from '../src/export-tfjs-model.ts';
import { openTfjsModel } from '../src/open-tfjs-model.ts';

let folder = '';
let layersJson: Json;
let layersWeights: Uint8Array;

type Json = Record<string, unknown>;

beforeAll(async () => {
  await useBackend('cpu');
  tf.env().set('IS_TEST', false);
  folder = await mkdtemp(join(tmpdir(), 'coda-hostile-models-'));
  const model = sequential({
    layers: [
      layers.conv2d({ filters: 2, kernelSize: 3, padding: 'same', activation: 'relu', inputShape: [8, 8, 3] }),
      layers.batchNormalization({}),
      layers.globalAveragePooling2d({}),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
  });
  await model.save(
    tf.io.withSaveHandler(async ({ weightData, weightSpecs, ...rest }) => {
      layersWeights = new Uint8Array(weightData as ArrayBuffer);
      layersJson = { ...rest, format: 'layers-model', weightsManifest: [{ paths: ['weights.bin'], weights: weightSpecs }] };
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function exported(json: unknown, weights: Uint8Array = new Uint8Array(0)): Promise<string[]> {
  const path = join(folder, 'model', 'model.json');
  await mkdir(join(folder, 'model'), { recursive: true });
  await writeFile(path, typeof json === 'string' ? json : JSON.stringify(json));
  await writeFile(join(folder, 'model', 'weights.bin'), weights);
  const model = await openTfjsModel(path);
  return Object.keys(exportTfjsModel(model).graph.outputs);
}

const float = { dtype: { type: 'DT_FLOAT' } };
const placeholder = { name: 'x', op: 'Placeholder', attr: { ...float, shape: { shape: { dim: [{ size: '-1' }, { size: '2' }] } } } };
const graphModel = (node: readonly object[], weights: readonly object[] = []): Json => ({
  format: 'graph-model',
  modelTopology: { node, versions: {} },
  weightsManifest: [{ paths: ['weights.bin'], weights }],
});
const weight = (shape: readonly unknown[], more: object = {}) => ({ name: 'w', shape, dtype: 'float32', ...more });
const constant = { name: 'w', op: 'Const', attr: { dtype: { type: 'DT_FLOAT' } } };

describe('models that lie about themselves', () => {
  const bad: Readonly<Record<string, readonly [json: () => unknown, text: RegExp, weights?: () => Uint8Array]>> = {
    'no JSON': [() => '{"modelTopology":', /model\.json: not JSON/],
    'JSON a million levels deep': [() => '['.repeat(1_000_000), /model\.json: not JSON/],
    'a cycle': [
      () => graphModel([placeholder, { name: 'a', op: 'AddV2', input: ['x', 'b'] }, { name: 'b', op: 'Relu', input: ['a'] }]),
      /model\.json: nodes that read each other in a cycle; got "a"/,
    ],
    'a node that reads itself': [() => graphModel([placeholder, { name: 'a', op: 'Relu', input: ['a'] }]), /read each other in a cycle/],
    'two nodes of one name': [() => graphModel([placeholder, placeholder]), /node "x": two nodes have this name/],
    'layers that wait for each other': [
      () => {
        const layer = (name: string, source: string) => ({
          name,
          class_name: 'Activation',
          config: { name, activation: 'relu' },
          inbound_nodes: [[[source, 0, 0, {}]]],
        });
        const config = { name: 'm', layers: [layer('a', 'b'), layer('b', 'a')], input_layers: [['a', 0, 0]], output_layers: [['b', 0, 0]] };
        return { ...layersJson, modelTopology: { class_name: 'Model', config } };
      },
      /layers that read each other in a cycle; got "a"/,
      () => layersWeights,
    ],
    'a node that reads what is not there': [
      () => graphModel([placeholder, { name: 'a', op: 'Relu', input: ['nothing'] }]),
      /node "a": it reads a node that is not there; got "nothing"/,
    ],
    'control flow': [
      () =>
        graphModel([
          placeholder,
          { name: 'p', op: 'Const' },
          { name: 's', op: 'Switch', input: ['x', 'p'] },
          { name: 'y', op: 'Relu', input: ['s'] },
        ]),
      /model\.json: /,
    ],
    'an operator that nobody knows': [
      () => graphModel([placeholder, { name: 'y', op: 'Mystery', input: ['x'] }]),
      /model\.json: .*Mystery/,
    ],
    'a weight of 4 GB': [
      () => graphModel([constant, { name: 'y', op: 'Relu', input: ['w'] }], [weight([1024, 1024, 1024])]),
      /model\.json: its weights need 4294967296 bytes, and its files have 0/,
    ],
    'a weight of a shape beyond numbers': [
      () => graphModel([constant, { name: 'y', op: 'Relu', input: ['w'] }], [weight([2 ** 40, 2 ** 40])]),
      /model\.json: its weights need 4\.8\d+e\+24 bytes, and its files have 0/,
    ],
    'a weight of a negative size': [() => graphModel([placeholder], [weight([-1])]), /model\.json: weight "w" has no shape/],
    'a weight whose shape is a word': [() => graphModel([placeholder], [weight(['many'])]), /model\.json: weight "w" has no shape/],
    'weights cut off': [
      () => layersJson,
      /model\.json: its weights need \d+ bytes, and its files have 40/,
      () => layersWeights.slice(0, 40),
    ],
    'a shard that is missing': [
      () => ({
        ...layersJson,
        weightsManifest: [{ ...(layersJson['weightsManifest'] as Json[])[0], paths: ['weights.bin', 'group1-shard2of2.bin'] }],
      }),
      /group1-shard2of2\.bin/,
      () => layersWeights,
    ],
    'an input of 4 GB an image': [
      () => {
        const json = structuredClone(layersJson);
        const [first] = ((json['modelTopology'] as Json)['config'] as Json)['layers'] as Json[] as [Json];
        (first['config'] as Json)['batch_input_shape'] = [null, 32_768, 32_768, 3];
        return json;
      },
      /./,
      () => layersWeights,
    ],
    'a name of a million letters': [
      () => graphModel([placeholder, { name: 'y'.repeat(1_000_000), op: 'Mystery', input: ['x'] }]),
      /model\.json: /,
    ],
    'a name that is no name': [
      () =>
        graphModel([
          { ...placeholder, name: '__proto__' },
          { name: 'y', op: 'Relu', input: ['__proto__'] },
        ]),
      /./,
    ],
  };
  it.each(Object.entries(bad))('%s', async (name, [json, text, weights]) => {
    const before = process.memoryUsage().rss;
    const outcome: unknown = await exported(json(), weights?.()).catch((error: unknown) => error);
    // sizes that are allowed are no lie: a large image is never allocated
    if (name !== 'an input of 4 GB an image' && name !== 'a name that is no name') {
      expect(outcome).toSatisfy(CodaError.isInstance);
      expect((outcome as CodaError).message.slice(0, 2000)).toMatch(text);
      expect((outcome as CodaError).message.length).toBeLessThan(5000);
    } else if (outcome instanceof Error) expect(outcome).toSatisfy(CodaError.isInstance);
    expect(process.memoryUsage().rss - before).toBeLessThan(1e9);
  });
});

/** Half a minute at most, on a machine that does other things too. */
const FUZZ_TIME = 15_000;
const MOST_RUNS = 400;

const strange: readonly unknown[] = [
  null,
  -1,
  0,
  1e9,
  2 ** 53,
  1.5,
  '',
  'x',
  '__proto__',
  [],
  {},
  [[]],
  true,
  'same',
  'float32',
  [null, null],
];

/** One value somewhere in the tree replaced, removed, or put in the place of another. */
function mutated(json: unknown, random: Random): unknown {
  const copy = structuredClone(json) as Json;
  const places: { readonly parent: Json; readonly key: string }[] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const key of Object.keys(value)) {
      places.push({ parent: value as Json, key });
      walk((value as Json)[key]);
    }
  };
  walk(copy);
  const { parent, key } = places[random.below(places.length)] as (typeof places)[number];
  const kind = random.below(4);
  if (kind === 0) delete parent[key];
  else if (kind === 1) {
    const other = places[random.below(places.length)] as (typeof places)[number];
    parent[key] = structuredClone(other.parent[other.key]);
  } else parent[key] = strange[random.below(strange.length)];
  return copy;
}

describe('a good model with one or two values changed', () => {
  const sources: Readonly<Record<string, () => readonly [Json, Uint8Array]>> = {
    'of layers': () => [layersJson, layersWeights],
    'of nodes': () => [
      graphModel(
        [
          placeholder,
          {
            ...constant,
            attr: { ...constant.attr, value: { tensor: { dtype: 'DT_FLOAT', tensorShape: { dim: [{ size: '2' }, { size: '3' }] } } } },
          },
          {
            name: 'm',
            op: 'MatMul',
            input: ['x', 'w'],
            attr: { transpose_a: { b: false }, transpose_b: { b: false }, T: { type: 'DT_FLOAT' } },
          },
          { name: 'y', op: 'Softmax', input: ['m'], attr: { T: { type: 'DT_FLOAT' } } },
        ],
        [weight([2, 3])],
      ),
      new Uint8Array(24),
    ],
  };
  it.each(Object.entries(sources))('%s is exported, or refused by a CodaError', async (_, source) => {
    const [json, weights] = source();
    expect((await exported(json, weights)).length).toBeGreaterThan(0);
    const random = Random.seeded(4).split('hostile models');
    const end = performance.now() + FUZZ_TIME;
    let refused = 0;
    let runs = 0;
    while (runs < MOST_RUNS && performance.now() < end) {
      runs++;
      const changed = random.below(2) === 0 ? mutated(json, random) : mutated(mutated(json, random), random);
      try {
        await exported(changed, weights);
      } catch (error) {
        if (!CodaError.isInstance(error))
          throw new Error(`not a CodaError: ${String(error)}; ${JSON.stringify(changed).slice(0, 3000)}`, { cause: error });
        refused++;
      }
    }
    expect(runs).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(5);
  });
});
