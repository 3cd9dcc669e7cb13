/** What an exported graph is made of, whether it says what the model says, and whether it is found out where it does not. */
import { initWeights, ndArray, Random, type Model, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { eagerEngine, openOnnx } from '@coda-nets/engine';
import { hybrid } from '@coda-nets/hybrid';
import { printGraph, type Graph } from '@coda-nets/onnx';
import { resnet, resnetPresets } from '@coda-nets/resnet';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { firstDifference } from '../src/first-difference.ts';
import { exportGraph } from '../src/export-network.ts';
import { exportNetwork, verifyOnnx, type ExportOptions } from '../src/index.ts';

/** Two orders of summation in float32, batch norms folded on one side. */
const TOLERANCE = 1e-5;

beforeAll(() => useBackend('cpu'));
const reference = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });

/** Statistics and factors of batch norms that are not 0 and 1, so that folding them does something. */
function weightsOf(network: Network): NamedArrays {
  const random = Random.seeded(2);
  const entries = Object.entries(initWeights(network, Random.seeded(1))).map(([name, array]): [string, NdArray] => {
    if (!/bn|downsample\.1|running/.test(name)) return [name, array];
    return [
      name,
      ndArray(
        'float32',
        array.shape,
        Float32Array.from(array.data as Float32Array, () => 0.5 + random.uniform()),
      ),
    ];
  });
  return Object.fromEntries(entries);
}

function modelOf(network: Network, weights = weightsOf(network)): Model {
  const [height, width] = network.inputShape;
  return {
    config: network.config,
    preprocessing: { size: [height, width], layout: 'rgb', range: [0, 1] },
    classNames: Array.from({ length: network.classes }, (_, i) => `class ${i}`),
    weights,
  };
}

const count = ({ nodes }: Graph, op: string): number => nodes.filter((node) => node.op === op).length;
const graphOf = (network: Network, options: ExportOptions): Graph => exportGraph(network, modelOf(network), options).graph;

const small = hybrid({
  kind: 'hybrid',
  backbone: { kind: 'resnet', depth: 8, width: 4 },
  cut: 'layer2.0',
  head: {
    temperature: 64,
    layers: [
      { out: 8, kernel: 3, stride: 2, rank: 4 },
      { out: 10, kernel: 1, rank: 4 },
    ],
  },
  classes: 10,
});
const images = (n: number): NdArray<'float32'> => {
  const random = Random.seeded(4);
  return ndArray(
    'float32',
    [n, 32, 32, 3],
    Float32Array.from({ length: n * 3072 }, () => random.below(256) / 255),
  );
};

describe('an exported graph', () => {
  it('of ResNet-18 is its 20 convolutions and nothing to move data, but for images that come with channels last', () => {
    const network = resnet({ ...resnetPresets.resnet18, width: 4, classes: 5, inputShape: [64, 64, 3] });
    const graph = graphOf(network, { input: 'nchw' });
    const ops = ['Conv', 'BatchNormalization', 'Transpose', 'Reshape', 'Slice', 'Mul', 'Relu'].map((op) => [op, count(graph, op)]);
    // one product normalises the image; its shift cannot go into a convolution that pads with zeros
    expect(ops).toEqual([
      ['Conv', 20],
      ['BatchNormalization', 0],
      ['Transpose', 0],
      ['Reshape', 0],
      ['Slice', 0],
      ['Mul', 1],
      ['Relu', 17],
    ]);
    expect(graph.nodes.length).toBe(51);
    expect(count(graphOf(network, { input: 'nhwc' }), 'Transpose')).toBe(1);
    const text = printGraph(graph);
    expect(text).toContain('constant layer2.0.downsample.0.weight: float32[8, 4, 1, 1]');
    expect(text).toContain(
      'layer2.0.downsample.0: float32[batch, 8, 8, 8] = Conv(layer1.1, layer2.0.downsample.0.weight, layer2.0.downsample.0.bias, kernel_shape=[1, 1], strides=[2, 2]',
    );
    expect(text).toContain('layer2.0: float32[batch, 8, 8, 8] = Relu(layer2.0.conv2/Add)');
  });

  it('of a hybrid moves data where stem and head meet, and nowhere else', () => {
    const transposes = (options: ExportOptions): number => count(graphOf(small, options), 'Transpose');
    // the head reads patches with channels last; its gradient comes back so
    expect(transposes({ input: 'nchw' })).toBe(1);
    expect(transposes({ input: 'nhwc' })).toBe(2);
    expect(transposes({ input: 'nchw', explain: true })).toBe(2);
    expect(transposes({ input: 'nhwc', explain: true })).toBe(3);
  });

  it('is the same bytes, exported twice', () => {
    const bytes = (): Uint8Array => exportNetwork(small, modelOf(small), { explain: true, residuals: true });
    expect(Buffer.compare(bytes(), bytes())).toBe(0);
  });
});

describe('a file', () => {
  const all = small.taps.map(({ name }) => name);

  it('has logits, probabilities, maps and residuals of every tap as the model has them', async () => {
    const bytes = exportNetwork(small, modelOf(small), {
      explain: true,
      taps: all,
      residuals: true,
      probabilities: true,
      dtype: 'uint8',
      opset: 18,
    });
    const file = await openOnnx(bytes, 'hybrid.onnx');
    expect(file.outputs.map(({ name }) => name)).toEqual([
      'logits',
      'probabilities',
      ...all.flatMap((tap) => (tap === 'input' ? ['contributions', 'residual'] : [`contributions_${tap}`, `residual_${tap}`])),
    ]);
    expect(JSON.parse(file.metadata['taps'] as string)).toContainEqual({
      name: 'head.0',
      output: 'contributions_head.0',
      residual: 'residual_head.0',
      exact: true,
      stride: 4,
    });
    const result = await verifyOnnx(file, 'hybrid.onnx', { path: 'x', network: small, model: modelOf(small) }, images(3), reference);
    expect(Object.keys(result.residuals ?? {})).toEqual(all);
    expect(result.maxAbsDiff).toBeLessThan(TOLERANCE);
    expect(
      await firstDifference(bytes, 'hybrid.onnx', { path: 'x', network: small, model: modelOf(small) }, images(1), reference, TOLERANCE),
    ).toBeUndefined();
  });

  it.each([
    ['stem.layer2.0.conv1.weight', 'layer2.0', 'layer1.0', ['layer2.0.conv1', 'layer2.0']],
    ['stem.conv1.weight', 'conv1', undefined, ['conv1']],
    ['head.1.A', 'head.1', 'head.0', ['head.1']],
  ])('of which the model has another %s parts from it at %s', async (weight, tap, agrees, between) => {
    const bytes = exportNetwork(small, modelOf(small), { input: 'nchw' });
    const weights = weightsOf(small);
    const { shape, data } = weights[weight] as NdArray<'float32'>;
    const other = {
      ...weights,
      [weight]: ndArray(
        'float32',
        shape,
        data.map((x) => 1.5 * x + 0.01),
      ),
    };
    const open = { path: 'x', network: small, model: modelOf(small, other) };
    const first = await firstDifference(bytes, 'hybrid.onnx', open, images(1), reference, 1e-4);
    expect([first?.tap, first?.agrees]).toEqual([tap, agrees]);
    for (const name of between) expect(first?.between.map((value) => value.replace(/^stem\./, ''))).toContain(name);
  });
});
