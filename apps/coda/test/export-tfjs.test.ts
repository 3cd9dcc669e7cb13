/** `coda export` of models of TensorFlow.js, in both of their formats, and what bad folders get. */
import { openOnnx } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { coda } from './run-coda.ts';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

/** Writes what `save` and the converter write: model.json and a file of weights. */
async function write(name: string, { weightData, weightSpecs, ...rest }: tf.io.ModelArtifacts, change: object = {}): Promise<string> {
  await mkdir(at(name), { recursive: true });
  const json = { ...rest, weightsManifest: [{ paths: ['weights.bin'], weights: weightSpecs }], ...change };
  await writeFile(at(name, 'model.json'), JSON.stringify(json));
  await writeFile(at(name, 'weights.bin'), new Uint8Array(weightData as ArrayBuffer));
  return at(name);
}

let artifacts: tf.io.ModelArtifacts;

beforeAll(async () => {
  await useBackend('cpu');
  tf.env().set('IS_TEST', false);
  folder = await mkdtemp(join(tmpdir(), 'coda-export-tfjs-'));
  const model = sequential({
    layers: [
      layers.conv2d({
        filters: 4,
        kernelSize: 3,
        strides: 2,
        padding: 'same',
        activation: 'relu',
        inputShape: [null, null, 3],
        name: 'image',
      }),
      layers.globalAveragePooling2d({}),
      layers.dense({ units: 2, activation: 'softmax', name: 'scores' }),
    ],
  });
  await model.save(
    tf.io.withSaveHandler(async (saved) => {
      artifacts = saved;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
  );
  await write('layers', { ...artifacts, format: 'layers-model' });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('coda export of a TensorFlow.js model', () => {
  it('writes a layers model from its folder, open where the model is', async () => {
    const said = await coda('export', at('layers'), '--out', at('layers.onnx'), '--json');
    expect(said.err).not.toContain('error');
    expect(JSON.parse(said.out)).toMatchObject({
      inputs: ['image_input: float32[batch, height, width, 3]'],
      outputs: ['scores'],
      opset: 17,
    });
    const file = await openOnnx(await readFile(at('layers.onnx')), 'layers.onnx', { threads: 1 });
    const { scores } = await file.run({
      image_input: { dtype: 'float32', shape: [2, 9, 6, 3], data: new Float32Array(2 * 9 * 6 * 3).fill(0.5) },
    });
    expect(scores?.shape).toEqual([2, 2]);
    expect(file.metadata['source']).toBe('TensorFlow.js layers-model');
    await file.dispose();
  });

  it('fixes the sizes it is told', async () => {
    const said = await coda('export', at('layers', 'model.json'), '--out', at('fixed.onnx'), '--shape', 'image_input=batch,32,32,3');
    expect(said).toMatchObject({ code: 0 });
    expect(said.out + said.err).toContain('inputs image_input: float32[batch, 32, 32, 3], outputs scores');
  });

  it('writes a graph model', async () => {
    const node = [
      { name: 'x', op: 'Placeholder', attr: { dtype: { type: 'DT_FLOAT' }, shape: { shape: { dim: [{ size: '-1' }, { size: '2' }] } } } },
      { name: 'y', op: 'Relu', input: ['x'] },
    ];
    const path = await write('graph', {
      format: 'graph-model',
      modelTopology: { node, versions: {} },
      weightSpecs: [],
      weightData: new ArrayBuffer(0),
    });
    const said = await coda('export', path, '--out', at('graph.onnx'), '--json');
    expect(JSON.parse(said.out)).toMatchObject({ inputs: ['x: float32[batch, 2]'], outputs: ['y'] });
  });

  const weights = (change: object) => ({ weightsManifest: [{ paths: ['weights.bin'], weights: artifacts.weightSpecs, ...change }] });
  const bad: readonly (readonly [string, () => object, string])[] = [
    [
      'weights outside of the folder',
      () => weights({ paths: ['../layers/weights.bin'] }),
      'model.json: weights outside of its folder: "../layers/weights.bin"',
    ],
    ['weights that are missing', () => weights({ paths: ['none.bin'] }), 'none.bin'],
    [
      'fewer weights than it names',
      () => weights({ weights: [...(artifacts.weightSpecs ?? []), { name: 'more', shape: [9], dtype: 'float32' }] }),
      'model.json: its weights need 524 bytes, and its files have 488',
    ],
    ['no topology', () => ({ modelTopology: 3 }), 'model.json: it has no modelTopology'],
    [
      'another format',
      () => ({ format: 'tflite', modelTopology: {} }),
      'model.json: not a model of TensorFlow.js; expected format layers-model or graph-model, got "tflite"',
    ],
    [
      'a layer that nobody knows',
      () => ({ modelTopology: { class_name: 'Sequential', config: [{ class_name: 'Mystery', config: {} }] } }),
      'model.json: TensorFlow.js does not load it: Unknown layer: Mystery',
    ],
  ];
  it.each(bad)('refuses %s', async (_, change, text) => {
    const path = await write('bad', artifacts, change());
    const said = await coda('export', path, '--out', at('bad.onnx'));
    expect(said.err).toContain(text);
    expect(said.code).toBe(1);
  });

  it('writes what `verify` finds to be the model, at any size, of both formats', async () => {
    await coda('export', at('layers'), '--out', at('same.onnx'));
    const said = await coda('verify', at('same.onnx'), '--model', at('layers'), '--json');
    expect(said.err).toContain('relative to the largest number of each output');
    expect(JSON.parse(said.out)).toMatchObject({
      shapes: [
        [1, 104, 112, 3],
        [3, 139, 147, 3],
        [64, 72, 80, 3],
      ],
      passed: true,
    });
    const graph = await coda('verify', at('graph.onnx'), '--model', at('graph'), '--engine', 'cpu');
    expect(graph.out + graph.err).toContain('passed: at most 0.0001 was allowed');
    expect(graph.code).toBe(0);
  });

  it('writes what `verify` tells from another model by the first value that differs', async () => {
    const bytes = new Float32Array((artifacts.weightData as ArrayBuffer).slice(0));
    bytes[bytes.length - 1] = (bytes.at(-1) as number) + 1;
    await write('other', { ...artifacts, weightData: bytes.buffer }, { format: 'layers-model' });
    await coda('export', at('layers'), '--out', at('differs.onnx'));
    const said = await coda('verify', at('differs.onnx'), '--model', at('other', 'model.json'), '--engine', 'cpu', '--json');
    expect(said.err).toMatch(
      /the file deviates from its model; expected at most 0\.0001, got .*Every kernel of the model gives in ONNX Runtime what it gives in TensorFlow\.js, so the file is not the model's: the first value that differs is scores_1 \(Add\), by \d/s,
    );
    expect(JSON.parse(said.out)).toMatchObject({ passed: false, firstDifference: { op: 'Add', unknown: false } });
    expect(said.code).toBe(1);
  });

  it('writes what `verify` does not compare with a model of other inputs, nor on images', async () => {
    const said = await coda('verify', at('differs.onnx'), '--model', at('graph'));
    expect(said.err).toContain('shapes: not an input of the model: image_input; expected x');
    const data = await coda('verify', at('differs.onnx'), '--model', at('layers'), '--data', 'cifar10');
    expect(data.err).toContain('verify: --data: a model of TensorFlow.js is compared on random numbers');
    expect(data.code).toBe(2);
    const compiled = await coda('verify', at('differs.onnx'), '--model', at('layers'), '--engine', 'onnxruntime');
    expect(compiled.err).toContain(
      'verify: --engine: onnxruntime runs graphs, as the file does; expected wasm, cpu, tensorflow or tfjs-webgpu',
    );
  });

  it('refuses options that are about other models', async () => {
    const explained = await coda('export', at('layers'), '--out', at('no.onnx'), '--explain');
    expect(explained.err).toContain('export: --explain:');
    expect(explained.code).toBe(2);
    const resized = await coda('export', at('layers'), '--out', at('no.onnx'), '--resize');
    expect(resized.err).toContain('export: --resize: no ONNX operator scales images as this command does: bytes differ by 1 on average');
    expect(resized.code).toBe(2);
    const shape = await coda('export', at('layers'), '--out', at('no.onnx'), '--shape', 'nothing');
    expect(shape.err).toContain('Expected NAME=SIZE,SIZE,…, such as image=batch,224,224,3.');
  });
});
