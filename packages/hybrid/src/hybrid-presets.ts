/** Hybrids by name. Configs only: no weights come with them. All are reconstructions (see `hybrid`). */
import { CodaError, nearestName } from '@coda-nets/core';
import type { HybridOptions } from './hybrid-config.ts';
import { imagenetHybridPresets, type ImagenetHybridName } from './imagenet-presets.ts';

export type HybridPresetName = 'cifar10-resnet20' | 'cifar10-resnet20-t1000' | 'cifar10-resnet56';

/** 16×16×32 features → 8×8 → 8×8 → one unit a class. Why these ranks: docs/decisions/0009. */
const cifar10Layers: HybridOptions['head']['layers'] = [
  { out: 64, kernel: 3, stride: 2, rank: 8 },
  { out: 64, kernel: 3, rank: 8 },
  { out: 10, kernel: 1, rank: 16 },
];

/**
 * T = 64 equals average pooling over the final 8×8 map; T = 1000 is the S-CoDA's (arXiv 2109.13004): lower accuracy after equally long
 * training, and sharper maps.
 */
export const hybridPresets: Readonly<Record<HybridPresetName, HybridOptions>> = {
  'cifar10-resnet20': {
    kind: 'hybrid',
    backbone: { kind: 'resnet', depth: 20 },
    cut: 'layer2.2',
    head: { temperature: 64, layers: cifar10Layers },
    classes: 10,
  },
  'cifar10-resnet20-t1000': {
    kind: 'hybrid',
    backbone: { kind: 'resnet', depth: 20 },
    cut: 'layer2.2',
    head: { temperature: 1000, layers: cifar10Layers },
    classes: 10,
  },
  'cifar10-resnet56': {
    kind: 'hybrid',
    backbone: { kind: 'resnet', depth: 56 },
    cut: 'layer2.8',
    head: { temperature: 64, layers: cifar10Layers },
    classes: 10,
  },
};

/** The config of a preset, of ImageNet's too. Throws a CodaError with the nearest name and the list for one that does not exist. */
export function hybridPreset(name: string): HybridOptions {
  if (Object.hasOwn(hybridPresets, name)) return hybridPresets[name as HybridPresetName];
  if (Object.hasOwn(imagenetHybridPresets, name)) return imagenetHybridPresets[name as ImagenetHybridName];
  const names = [...Object.keys(hybridPresets), ...Object.keys(imagenetHybridPresets)];
  const near = nearestName(name, names);
  throw new CodaError({
    kind: 'argument',
    where: 'hybridPreset: name',
    problem: 'no such preset',
    expected: `one of ${names.join(', ')}`,
    got: JSON.stringify(name),
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}
