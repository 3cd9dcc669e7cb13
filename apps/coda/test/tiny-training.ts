/** A training that takes seconds: a data set of 60 images on disk, a narrow ResNet-8 with a head, and its stem's weights as a model file. */
import { initWeights, Random, type Model } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { resnet } from '@coda-nets/resnet';
import { syntheticDataset, writeCifar10, type TrainConfigInput } from '@coda-nets/train';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const backbone = { kind: 'resnet', depth: 8, width: 4 } as const;

export const tinyConfig: TrainConfigInput = {
  network: {
    kind: 'hybrid',
    backbone,
    cut: 'layer2.0',
    stem: 'trained',
    head: {
      temperature: 16,
      layers: [
        { out: 8, kernel: 3, stride: 2, rank: 4 },
        { out: 8, kernel: 3, rank: 4 },
        { out: 10, kernel: 1, rank: 4 },
      ],
    },
    classes: 10,
  },
  epochs: 2,
  batch: 8,
  learningRate: 2e-3,
  validation: { kind: 'held-out', count: 10 },
  logEverySteps: 1,
  checkpointEverySteps: 4,
};

export interface TinyFiles {
  /** 60 images of 10 classes, in CIFAR-10's files. */
  readonly data: string;
  readonly stem: string;
  /** Writes a config, `tinyConfig` with changes, and returns its path. */
  readonly config: (name: string, change?: Partial<TrainConfigInput>) => Promise<string>;
}

export async function tinyFiles(folder: string): Promise<TinyFiles> {
  const data = join(folder, 'data');
  await writeCifar10(data, syntheticDataset({ classes: 10, perClass: 6, testPerClass: 2 }));
  const network = resnet(backbone);
  const stem = join(folder, 'stem.safetensors');
  const model: Model = {
    config: network.config,
    preprocessing: { size: [32, 32], layout: 'rgb', range: [0, 1] },
    classNames: Array.from({ length: 10 }, (_, c) => `class ${c}`),
    weights: initWeights(network, Random.seeded(1)),
  };
  await writeModel(stem, model);
  const config: TinyFiles['config'] = async (name, change = {}) => {
    const path = join(folder, `${name}.json`);
    await writeFile(path, JSON.stringify({ ...tinyConfig, ...change }));
    return path;
  };
  return { data, stem, config };
}
