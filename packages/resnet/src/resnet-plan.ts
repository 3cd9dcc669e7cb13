/** The blocks of a CIFAR ResNet in order: names, channels, strides. No weights, no arithmetic. */
import type { Tap } from '@coda-nets/core';
import type { ResnetConfig } from './resnet-config.ts';

export interface BlockPlan {
  /** torchvision's prefix and the name of the tap: `layer2.0`. */
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly stride: 1 | 2;
}

/** 3n blocks: stage s = 1, 2, 3 has n blocks of width·2^(s−1) channels; the first block of stages 2 and 3 halves the sides. */
export function blockPlans({ depth, width }: Pick<ResnetConfig, 'depth' | 'width'>): readonly BlockPlan[] {
  const blocksPerStage = (depth - 2) / 6;
  const plans: BlockPlan[] = [];
  let inChannels = width;
  for (let stage = 1; stage <= 3; stage++) {
    const outChannels = width * 2 ** (stage - 1);
    for (let block = 0; block < blocksPerStage; block++) {
      plans.push({ name: `layer${stage}.${block}`, inChannels, outChannels, stride: stage > 1 && block === 0 ? 2 : 1 });
      inChannels = outChannels;
    }
  }
  return plans;
}

/** `input`, `conv1`, then each block; none is exact, since all of them stand below rectifiers and batch norms. */
export function resnetTaps(config: Pick<ResnetConfig, 'depth' | 'width'>): readonly Tap[] {
  const taps: Tap[] = [
    { name: 'input', channels: 3, stride: 1, exact: false },
    { name: 'conv1', channels: config.width, stride: 1, exact: false },
  ];
  let stride = 1;
  for (const plan of blockPlans(config)) {
    stride *= plan.stride;
    taps.push({ name: plan.name, channels: plan.outChannels, stride, exact: false });
  }
  return taps;
}
