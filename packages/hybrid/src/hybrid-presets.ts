/** Hybrids by name. Configs only: weights come from training, or with a model file. All are reconstructions. */
import type { HybridOptions } from './hybrid-config.ts';

export type HybridPresetName = 'resnet20-cifar10';

export const hybridPresets: Readonly<Record<HybridPresetName, HybridOptions>> = {
  /** ResNet-20 cut after its second stage (16×16×32); 965,760 parameters in the head. */
  'resnet20-cifar10': {
    kind: 'hybrid',
    backbone: { kind: 'resnet', depth: 20 },
    cut: 'layer2.2',
    stem: 'frozen',
    head: {
      layers: [
        { out: 64, kernel: 3, stride: 2, rank: 16 },
        { out: 64, kernel: 3, rank: 16 },
        { out: 10, kernel: 1, rank: 16 },
      ],
      norm: 'sq',
      temperature: 64,
    },
  },
};
