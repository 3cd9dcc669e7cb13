/** `coda verify` below a max pool: near-ties that two engines round apart pass, and what only looks like one fails. */
import { initWeights, ndArray, Random, type Model, type NamedArrays, type NdArray } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { hybrid } from '@coda-nets/hybrid';
import { encodeModel, type Graph } from '@coda-nets/onnx';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exportGraph } from '../src/export-network.ts';
import { VERIFY_TOLERANCE } from '../src/commands/verify.ts';
import { coda } from './run-coda.ts';

type Node = Graph['nodes'][number];

const SIZE = 64;
const network = hybrid({
  kind: 'hybrid',
  backbone: { kind: 'resnet', design: 'imagenet', depth: 18, width: 8, inputShape: [SIZE, SIZE, 3] },
  cut: 'layer1.0',
  head: { temperature: 64, layers: [{ out: 3, kernel: 1, rank: 4 }] },
  classes: 3,
});

/** conv1 is its own mirror image, so that of mirrored images two columns of a window are the same sums in two orders. */
function mirrored(): Model {
  const drawn = initWeights(network, Random.seeded(1));
  const { shape, data } = drawn['stem.conv1.weight'] as NdArray<'float32'>;
  const [, wide, ...channels] = shape as [number, number, number, number];
  const size = channels[0] * channels[1];
  const kernel = data.map((_, i) => {
    const column = Math.floor(i / size) % wide;
    return data[i + (Math.min(column, wide - 1 - column) - column) * size] as number;
  });
  return {
    config: network.config,
    preprocessing: { size: [SIZE, SIZE], layout: 'rgb', range: [0, 1] },
    classNames: ['a', 'b', 'c'],
    weights: { ...drawn, 'stem.conv1.weight': ndArray('float32', shape, kernel) },
  };
}

/** Rows from left to right up to the middle column, and back. */
function mirroredImage(pixels: Uint8Array): Uint8Array {
  return pixels.map((_, i) => {
    const column = Math.floor(i / 3) % SIZE;
    return pixels[i + (Math.min(column, SIZE - column) - column) * 3] as number;
  });
}

const model = mirrored();
let folder = '';
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-pool-ties-'));
  const random = Random.seeded(4);
  for (const part of ['mirrored/train', 'mirrored/val', 'flat/train', 'flat/val']) {
    for (const name of model.classNames) {
      await mkdir(at(`${part}/${name}`), { recursive: true });
      const noise = Uint8Array.from({ length: SIZE * SIZE * 3 }, () => random.below(256));
      // white below a quarter
      const pixels = part.startsWith('flat') ? noise.map((x, i) => (i < noise.length / 4 ? x : 255)) : mirroredImage(noise);
      await sharp(pixels, { raw: { width: SIZE, height: SIZE, channels: 3 } }).toFile(at(`${part}/${name}/0.png`));
    }
  }
  await writeModel(at('model.safetensors'), model);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What is said of a file of the model, or of another graph. */
async function verified(data: string, weights = model.weights, change: (node: Node) => Node = (node) => node) {
  const { graph, modelOptions } = exportGraph(network, { ...model, weights }, { explain: true, taps: ['conv1', 'maxpool', 'layer1.0'] });
  await writeFile(at('file.onnx'), encodeModel({ ...graph, nodes: graph.nodes.map(change) }, modelOptions));
  const said = await coda('verify', at('file.onnx'), '--model', at('model.safetensors'), '--data', at(data), '--json');
  return { ...said, result: JSON.parse(said.out) };
}

it('passes a file that takes the other of two values of a pool that are equal but for rounding, and says so', async () => {
  const { code, err, result } = await verified('mirrored');
  expect(result.maps.input).toBeGreaterThan(VERIFY_TOLERANCE);
  expect(result.maps.maxpool).toBeLessThan(VERIFY_TOLERANCE);
  expect([code, result.passed]).toEqual([0, true]);
  expect(result.poolTies.windows).toBeGreaterThan(0);
  expect(result.poolTies.maxAbsDiff).toBeLessThan(VERIFY_TOLERANCE);
  expect(err).toMatch(
    /ties of max pools: in \d+ windows the file takes another of values that are equal to 0\.00001; with its choice the model agrees to \d/,
  );
});

it('takes the first of equal values, as the file does', async () => {
  const { code, result } = await verified('flat');
  expect([code, result.poolTies]).toEqual([0, undefined]);
});

const scaled = (name: string, factor: number) => {
  const { shape, data } = model.weights[name] as NdArray<'float32'>;
  return {
    ...model.weights,
    [name]: ndArray(
      'float32',
      shape,
      data.map((x) => x * factor),
    ),
  };
};

it.each<[string, string, NamedArrays, (node: Node) => Node]>([
  ['a convolution that differs below the pool by 2e-5', 'mirrored', scaled('stem.conv1.weight', 1 + 2e-5), (node) => node],
  ['a convolution that differs below the pool by a tenth', 'mirrored', scaled('stem.conv1.weight', 1.1), (node) => node],
  [
    'a pool whose gradient goes to the last of equal values',
    'flat',
    model.weights,
    (node) =>
      node.op === 'ArgMax' && 'select_last_index' in node.attributes
        ? { ...node, attributes: { ...node.attributes, select_last_index: { int: 1 } } }
        : node,
  ],
  [
    'a pool whose gradient goes to all values up to the first largest',
    'mirrored',
    model.weights,
    (node) => (node.op === 'Equal' && node.output.shape.length === 5 ? { ...node, op: 'GreaterOrEqual' } : node),
  ],
])('fails a file with %s', async (_, data, weights, change) => {
  const { code, err, result } = await verified(data, weights, change);
  expect([code, result.passed, result.poolTies]).toEqual([1, false, undefined]);
  expect(err).toContain('the file deviates from its model');
});
