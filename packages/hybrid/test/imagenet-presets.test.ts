/** The presets for ImageNet: layers and costs counted by hand, and that they are one hybrid cut at four places. */
import { sizeOf } from '@coda-nets/core';
import { resnetStem } from '@coda-nets/resnet';
import { describe, expect, it } from 'vitest';
import { hybrid, hybridPreset, imagenetHybrid, imagenetHybridPresets, withCut, type ImagenetHybridName } from '../src/index.ts';

const names = Object.keys(imagenetHybridPresets) as ImagenetHybridName[];

describe.each(names)('preset %s', (name) => {
  const [depth, stage] = (/resnet(\d+)-layer(\d)/.exec(name) as RegExpExecArray).slice(1).map(Number) as [number, number];
  const network = hybrid(hybridPreset(name));

  it('is cut after its stage and ends in 49 positions', () => {
    const blocks = depth === 18 ? [2, 2, 2, 2] : [3, 4, 6, 3];
    expect(network.config.cut).toBe(`layer${stage}.${(blocks[stage - 1] as number) - 1}`);
    expect(network.taps.at(-1)?.stride).toBe(32);
    expect(network.config.head.temperature).toBe(49);
    expect([network.classes, network.config.stem]).toEqual([1000, 'frozen']);
  });

  it('has the parameters of Σ d·r + r·n·d + n·d', () => {
    const channels = (depth === 50 ? 256 : 64) * 2 ** (stage - 1);
    // d, n, r of each layer
    const layers = [
      [9 * channels, 64, 16],
      [9 * 64, 64, 64],
      [9 * 64, 64, 64],
      [64, 1000, 64],
    ];
    const byHand = layers.reduce((sum, [d = 0, n = 0, r = 0]) => sum + d * r + r * n * d + n * d, 0);
    const head = Object.entries(network.weights).filter(([weight]) => weight.startsWith('head.'));
    expect(head.reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0)).toBe(byHand);
  });

  it('is every other one of its depth with the cut moved', () => {
    for (const other of names.filter((one) => one.startsWith(`resnet${depth}-`))) {
      const cut = /layer\d/.exec(other)?.[0] as string;
      expect(withCut(hybridPreset(name), cut)).toEqual(hybrid(hybridPreset(other)).config);
    }
  });
});

describe('for other data', () => {
  it('the preset takes classes and size', () => {
    const network = hybrid(imagenetHybrid('resnet18-layer1-coda4', { classes: 20, size: 64 }));
    expect(network.inputShape).toEqual([64, 64, 3]);
    expect([network.classes, network.config.head.temperature]).toEqual([20, 4]);
  });
});

describe('a cut elsewhere', () => {
  const cifar = hybridPreset('cifar10-resnet20');

  it('keeps the size of the last map', () => {
    for (const [cut, block, strides] of [
      ['layer1', 'layer1.2', [2, 2, 1]],
      ['layer2', 'layer2.2', [2, 1, 1]],
      ['layer2.0', 'layer2.0', [2, 1, 1]],
      ['layer3', 'layer3.2', [1, 1, 1]],
    ] as const) {
      const config = withCut(cifar, cut);
      expect([config.cut, config.head.layers.map(({ stride }) => stride)]).toEqual([block, strides]);
      const { featureShape } = resnetStem(config.backbone, config.cut);
      expect(config.head.layers.reduce((side, { stride }) => side / stride, featureShape[0])).toBe(8);
    }
  });

  it('that the head cannot halve from is refused, and one that does not exist', () => {
    expect(() => withCut(hybridPreset('resnet50-layer3-coda4'), 'conv1')).toThrow(
      'withCut: cut "conv1": the head cannot bring this cut to the size of its last map; expected a factor of 1 to 8 between them: ' +
        '2 for each of its 3 layers that see more than one position, got positions 2 pixels apart at conv1, 32 in the last map',
    );
    const short = { ...cifar, head: { ...cifar.head, layers: [{ out: 10, kernel: 1, rank: 16 }] }, cut: 'layer3.2' };
    expect(() => withCut(short, 'layer2')).toThrow(
      'withCut: cut "layer2": the head cannot bring this cut to the size of its last map; expected a factor of 1 to 1 between them',
    );
    expect(() => withCut(cifar, 'layer4')).toThrow(/no such tap to be cut at; expected one of conv1, .*, layer3\.2, got "layer4"/);
  });
});
