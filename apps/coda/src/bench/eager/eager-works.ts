/** What is trained by TensorFlow.js on TensorFlow, as one writes it with tfjs-node alone and by these packages; with the goals. The same data for both come from a seed. */
import { initWeights, ndArray, Random, sizeOf, type JsonObject, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import type { OptimiserConfig } from '@coda-nets/train';
import { buildNetwork, networkPresets } from '../../build-network.ts';

export interface EagerWork {
  readonly id: string;
  readonly label: string;
  readonly config: JsonObject;
  readonly batch: number;
  readonly optimiser: OptimiserConfig;
  readonly learningRate: number;
  /** How many times as long it has to take as one writes it. */
  readonly goal: number;
}

export const eagerWorks: readonly EagerWork[] = [
  {
    id: 'eager-20',
    label: 'training step, ResNet-20 32×32, batch 16',
    config: networkPresets['resnet20-cifar10'] as JsonObject,
    batch: 16,
    optimiser: { kind: 'sgd', momentum: 0.9, nesterov: true },
    learningRate: 0.01,
    goal: 2,
  },
  {
    id: 'eager-s-coda',
    label: 'training step, S-CoDA 32×32, batch 16',
    // at which untrained weights give logits around b₀ ± 1
    config: { ...(networkPresets['coda-s-cifar10'] as JsonObject), temperature: 0.1 },
    batch: 16,
    optimiser: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 'coupled' },
    learningRate: 2.5e-4,
    goal: 1.3,
  },
];

export interface EagerInputs {
  readonly network: Network;
  readonly weights: NamedArrays;
  readonly images: NdArray<'float32'>;
  readonly labels: NdArray<'int32'>;
}

export function eagerInputs({ config, batch }: Pick<EagerWork, 'config' | 'batch'>, seed: number): EagerInputs {
  const network = buildNetwork(config, 'bench engine');
  const random = Random.seeded(seed);
  const weights = initWeights(network, random.split('weights'));
  const pixels = random.split('images');
  const shape = [batch, ...network.inputShape];
  return {
    network,
    weights,
    images: ndArray(
      'float32',
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => pixels.uniform()),
    ),
    labels: ndArray(
      'int32',
      [batch],
      Int32Array.from({ length: batch }, (_, i) => (7 * i) % network.classes),
    ),
  };
}
