/**
 * Hybrids for ImageNet, by rule: a ResNet-18, -34 or -50 cut after any of its four stages, and four CoDA layers. No weights come with them, and none has been
 * trained on ImageNet here: the rule is a reconstruction (no code for the paper's hybrids is public), and what each costs is said by `coda info`.
 *
 * | constant | value | source |
 * | --- | --- | --- |
 * | hidden units | 64 a layer | the widest hidden layers of L-CoDA, arXiv 2109.13004 |
 * | kernels | 3, 3, 3, 1 | those of S- and M-CoDA, arXiv 2109.13004: 3×3, and 1×1 for the classes |
 * | strides | the first 4 − stage layers halve | method: the head keeps the strides that the cut stages had, so that the last map is 7×7 at 224 pixels |
 * | ranks | 16, 64, 64, 64 | ours. The first layer sees up to 2048 channels, and costs about 9·C·64·r: with 16 the head costs about what the stages cost that it replaces. 64 for the rest: S-CoDA |
 * | T | positions of the last map, 49 at 224 | ours: then the readout is average pooling, as T = 64 is on CIFAR-10 (docs/decisions/0009) |
 * | norm, b₀, loss | SQ, ln(0.1 / 0.9), binary cross entropy | arXiv 2109.13004 |
 */
import { parseResnetConfig } from '@coda-nets/resnet';
import type { HybridOptions } from './hybrid-config.ts';
import { cutNamed } from './with-cut.ts';

const depths = [18, 34, 50] as const;
const stages = [1, 2, 3, 4] as const;
const units = 64;
/** Of the first layer, and of those above it. */
const ranks = { first: 16, other: 64 };
/** Input pixels a position of the last map is apart from the next: that of a ResNet's fourth stage. */
const lastStride = 32;

export type ImagenetHybridName = `resnet${(typeof depths)[number]}-layer${(typeof stages)[number]}-coda4`;

export interface ImagenetHybridOptions {
  /** Default 1000. */
  readonly classes?: number;
  /** Sides of the images; default 224. */
  readonly size?: number;
}

/** The config of one of them, for other classes or another size of images. */
export function imagenetHybrid(name: ImagenetHybridName, { classes = 1000, size = 224 }: ImagenetHybridOptions = {}): HybridOptions {
  const [, depth, stage] = (/^resnet(\d+)-layer(\d)-coda4$/.exec(name) as RegExpExecArray).map(Number) as [
    number,
    18 | 34 | 50,
    1 | 2 | 3 | 4,
  ];
  const hidden = [0, 1, 2].map((i) => ({
    out: units,
    kernel: 3,
    stride: i < 4 - stage ? 2 : 1,
    rank: i === 0 ? ranks.first : ranks.other,
  }));
  const backbone = { kind: 'resnet', design: 'imagenet', depth, inputShape: [size, size, 3] } as const;
  return {
    kind: 'hybrid',
    backbone,
    cut: cutNamed(parseResnetConfig(backbone), `layer${stage}`),
    head: { temperature: Math.ceil(size / lastStride) ** 2, layers: [...hidden, { out: classes, kernel: 1, rank: ranks.other }] },
    classes,
  };
}

export const imagenetHybridPresets: Readonly<Record<ImagenetHybridName, HybridOptions>> = Object.fromEntries(
  depths
    .flatMap((depth) => stages.map((stage) => `resnet${depth}-layer${stage}-coda4` as const))
    .map((name) => [name, imagenetHybrid(name)]),
) as Record<ImagenetHybridName, HybridOptions>;
