/** ResNets by torchvision's names, with dashes. Configs only: no weights come with them. */
import type { ResnetOptions } from './resnet-config.ts';

export type ResnetPresetName = keyof typeof resnetPresets;

const bottlenecks = { kind: 'resnet', design: 'imagenet', depth: 50 } as const;

/** `wide-resnet50-2`: bottlenecks twice as wide inside (arXiv 1605.07146); `resnext50-32x4d`: 32 groups of 4 channels (arXiv 1611.05431). */
export const resnetPresets = {
  resnet18: { kind: 'resnet', design: 'imagenet', depth: 18 },
  resnet34: { kind: 'resnet', design: 'imagenet', depth: 34 },
  resnet50: bottlenecks,
  resnet101: { kind: 'resnet', design: 'imagenet', depth: 101 },
  resnet152: { kind: 'resnet', design: 'imagenet', depth: 152 },
  'wide-resnet50-2': { ...bottlenecks, widthPerGroup: 128 },
  'resnext50-32x4d': { ...bottlenecks, groups: 32, widthPerGroup: 4 },
} as const satisfies Readonly<Record<string, ResnetOptions>>;
