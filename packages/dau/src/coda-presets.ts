/**
 * The published configurations of CoDA-Nets (arXiv 2109.13004). Configs only: no weights come with them.
 * `m-tinyimagenet` is a reconstruction: its ranks and size are published, the rest follows the other two.
 */
import type { CodaConfig } from './coda-config.ts';

export type CodaPresetName = 's-cifar10' | 'm-tinyimagenet' | 'l-imagenet100';

/** A table's columns, one entry a layer. */
interface Columns {
  readonly out: readonly number[];
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly rank: readonly number[];
}

function layersOf({ out, kernel, stride, rank }: Columns): CodaConfig['layers'] {
  return out.map((channels, i) => ({
    out: channels,
    kernel: kernel[i] as number,
    stride: stride[i] as number,
    rank: rank[i] as number,
  }));
}

export const codaPresets: Readonly<Record<CodaPresetName, CodaConfig>> = {
  's-cifar10': {
    kind: 'coda',
    inputShape: [32, 32, 3],
    layers: layersOf({
      out: [16, 16, 32, 32, 32, 64, 64, 64, 10],
      kernel: [3, 3, 3, 3, 3, 3, 3, 3, 1],
      stride: [1, 1, 2, 1, 1, 2, 1, 1, 1],
      rank: [32, 32, 64, 64, 64, 64, 64, 64, 64],
    }),
    temperature: 1000,
    classes: 10,
  },
  'm-tinyimagenet': {
    kind: 'coda',
    inputShape: [64, 64, 3],
    layers: layersOf({
      out: [16, 16, 32, 32, 32, 64, 64, 64, 200],
      kernel: [3, 3, 3, 3, 3, 3, 3, 3, 1],
      stride: [1, 1, 2, 1, 1, 2, 1, 1, 1],
      rank: [64, 64, 64, 128, 128, 128, 256, 256, 256],
    }),
    temperature: 1000,
    classes: 200,
  },
  'l-imagenet100': {
    kind: 'coda',
    inputShape: [240, 240, 3],
    layers: layersOf({
      out: [16, 32, 32, 64, 64, 64, 64, 64, 100],
      kernel: [7, 3, 3, 3, 3, 3, 3, 3, 3],
      stride: [3, 1, 1, 2, 1, 1, 2, 1, 1],
      rank: [64, 64, 64, 128, 128, 128, 256, 256, 256],
    }),
    temperature: 100_000,
    classes: 100,
  },
};
