/** What the tests of the linear map share: small networks of both kinds, engines, a data set, a run's metrics. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { initWeights, Random, type Engine, type NamedArrays, type NamedTensors, type Network } from '@coda-nets/core';
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import { syntheticDataset } from '@coda-nets/train';
import * as tf from '@tensorflow/tfjs-core';
import { buildNetwork } from '../src/index.ts';

const layers = [
  { out: 4, kernel: 3, stride: 4, rank: 3 },
  { out: 5, kernel: 3, stride: 2, rank: 2 },
  { out: 10, kernel: 1, rank: 3 },
];
export const codaOf = (side: number): Network =>
  buildNetwork({ kind: 'coda', inputShape: [side, side, 3], layers, temperature: 10, classes: 10 }, 'test');
export const hybridOf = (side: number): Network => {
  const head = {
    temperature: 64,
    layers: [
      { out: 8, kernel: 3, stride: 2, rank: 4 },
      { out: 10, kernel: 1, rank: 4 },
    ],
  };
  const backbone = { kind: 'resnet', depth: 8, width: 4, inputShape: [side, side, 3] };
  return buildNetwork({ kind: 'hybrid', backbone, cut: 'layer2.0', classes: 10, head }, 'test');
};
/** Of the data set's size. */
export const [coda, hybrid] = [codaOf(12), hybridOf(12)];
export const dataset = syntheticDataset({ classes: 10, perClass: 6, testPerClass: 2, size: 12 });
export const onnx = (): Promise<Engine> => onnxRuntimeEngine({ threads: 1 });
export const cpu = (): Engine => eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });
export const weightsOf = (network: Network): NamedArrays => initWeights(network, Random.seeded(3));
export const tensorsOf = (weights: NamedArrays): NamedTensors =>
  Object.fromEntries(Object.entries(weights).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]));

/** A line of metrics.jsonl. */
export interface MetricsLine {
  readonly type: string;
  readonly step: number;
  readonly penalty?: number;
  readonly trainPenalty?: number;
  readonly alignment?: unknown;
}

export async function metricsOf(out: string): Promise<readonly MetricsLine[]> {
  const text = await readFile(join(out, 'metrics.jsonl'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricsLine);
}
