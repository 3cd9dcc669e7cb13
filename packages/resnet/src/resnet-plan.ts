/** The layers of a ResNet in order: names, kernels, channels, strides. No weights, no arithmetic. */
import type { Tap } from '@coda-nets/core';
import { hasBottlenecks, imagenetStages, type ResnetConfig } from './resnet-config.ts';

/** A convolution without bias, and the batch norm that follows it. */
export interface ConvPlan {
  /** torchvision's names: `layer2.0.conv1` and `layer2.0.bn1`, or `layer2.0.downsample.0` and `.1`. */
  readonly conv: string;
  readonly bn: string;
  /** Side of the square kernel, odd; (kernel − 1) / 2 zeros stand around the image. */
  readonly kernel: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly stride: 1 | 2;
  readonly groups: number;
}

export interface BlockPlan {
  /** torchvision's prefix and the name of the tap: `layer2.0`. */
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly stride: 1 | 2;
  /** Two 3×3 convolutions, or 1×1, 3×3, 1×1. */
  readonly residual: readonly ConvPlan[];
  /** The shortcut's, where the shape changes and option B is taken. */
  readonly projection: ConvPlan | undefined;
}

export interface StemPlan {
  readonly conv: ConvPlan;
  /** 3×3, stride 2, one pixel around the image. */
  readonly maxPool: boolean;
}

/** A tap with the part of the image it sees. */
export interface ResnetTap extends Tap {
  /** Side in pixels of the square of the input that a position depends on (away from the border), before batch statistics. */
  readonly receptiveField: number;
}

export function stemPlan({ stem, encoding, width }: ResnetConfig): StemPlan {
  const large = stem === '7x7';
  return {
    conv: {
      conv: 'conv1',
      bn: 'bn1',
      kernel: large ? 7 : 3,
      inChannels: encoding === 'rgb6' ? 6 : 3,
      outChannels: width,
      stride: large ? 2 : 1,
      groups: 1,
    },
    maxPool: large,
  };
}

/** Stage s = 1, 2, … has width·2^(s−1) channels, four times as many after a bottleneck; the first block of all but the first stage halves the sides. */
export function blockPlans(config: ResnetConfig): readonly BlockPlan[] {
  const { design, depth, width, shortcut } = config;
  const stages = design === 'cifar' ? Array<number>(3).fill((depth - 2) / 6) : (imagenetStages.get(depth) as readonly number[]);
  const plans: BlockPlan[] = [];
  let inChannels = width;
  for (const [stage, blocks] of stages.entries()) {
    const channels = width * 2 ** stage;
    for (let block = 0; block < blocks; block++) {
      const name = `layer${stage + 1}.${block}`;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const residual = residualPlans(config, name, inChannels, channels, stride);
      const { outChannels } = residual.at(-1) as ConvPlan;
      const projects = shortcut === 'projection' && (stride !== 1 || inChannels !== outChannels);
      const projection: ConvPlan | undefined = projects
        ? { conv: `${name}.downsample.0`, bn: `${name}.downsample.1`, kernel: 1, inChannels, outChannels, stride, groups: 1 }
        : undefined;
      plans.push({ name, inChannels, outChannels, stride, residual, projection });
      inChannels = outChannels;
    }
  }
  return plans;
}

function residualPlans(config: ResnetConfig, name: string, inChannels: number, channels: number, stride: 1 | 2): readonly ConvPlan[] {
  const { groups, widthPerGroup, bottleneckStride } = config;
  const inner = ((channels * widthPerGroup) / 64) * groups;
  const shapes = hasBottlenecks(config)
    ? ([
        { kernel: 1, outChannels: inner, stride: bottleneckStride === '1x1' ? stride : 1, groups: 1 },
        { kernel: 3, outChannels: inner, stride: bottleneckStride === '3x3' ? stride : 1, groups },
        { kernel: 1, outChannels: 4 * channels, stride: 1, groups: 1 },
      ] as const)
    : ([
        { kernel: 3, outChannels: channels, stride, groups: 1 },
        { kernel: 3, outChannels: channels, stride: 1, groups: 1 },
      ] as const);
  return shapes.map((shape, i) => ({
    conv: `${name}.conv${i + 1}`,
    bn: `${name}.bn${i + 1}`,
    inChannels: i === 0 ? inChannels : (shapes[i - 1] as { outChannels: number }).outChannels,
    ...shape,
  }));
}

/** Every convolution with its batch norm, in the order of torchvision's state dicts. */
export function convPlans(stem: StemPlan, blocks: readonly BlockPlan[]): readonly ConvPlan[] {
  return [stem.conv, ...blocks.flatMap(({ residual, projection }) => [...residual, ...(projection === undefined ? [] : [projection])])];
}

/** The last block's channels: what the classifier gets. */
export function featureChannels(config: ResnetConfig): number {
  return (blockPlans(config).at(-1) as BlockPlan).outChannels;
}

/**
 * `input`, `conv1`, `maxpool` after a 7×7 stem, each block, and `fc` where the classifier makes a map. With side r and stride j of what is seen, a
 * kernel k of stride s gives r + (k − 1)·j and j·s. Only `fc`, whose mean is the logits, is exact: the others stand below rectifiers.
 */
export function resnetTaps(config: ResnetConfig): readonly ResnetTap[] {
  const stem = stemPlan(config);
  const { inChannels, outChannels } = stem.conv;
  let receptiveField = 1;
  let stride = 1;
  const see = (kernel: number, step: number): void => {
    receptiveField += (kernel - 1) * stride;
    stride *= step;
  };
  const taps: ResnetTap[] = [];
  const push = (name: string, channels: number, exact = false): void => void taps.push({ name, channels, stride, receptiveField, exact });
  push('input', inChannels);
  see(stem.conv.kernel, stem.conv.stride);
  push('conv1', outChannels);
  if (stem.maxPool) {
    see(3, 2);
    push('maxpool', outChannels);
  }
  const blocks = blockPlans(config);
  for (const block of blocks) {
    for (const { kernel, stride: step } of block.residual) see(kernel, step);
    push(block.name, block.outChannels);
  }
  if (config.classifier === 'map') push('fc', config.classes, true);
  return taps;
}
