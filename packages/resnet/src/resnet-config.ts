/** The config of a ResNet: what may be in it, its defaults, its limits. Builds nothing. */
import * as v from 'valibot';
import { parseConfig } from '@coda-nets/core';
import { cifar10Normalisation, imagenetNormalisation, type Normalisation } from './normalisation.ts';

/** Everything that is needed to build the network again, with every default filled in. JSON-able. */
export type ResnetConfig = {
  readonly kind: 'resnet';
  /** `cifar`: three stages of basic blocks; `imagenet`: four stages of basic (18, 34) or bottleneck blocks. Sets the defaults of the rest. */
  readonly design: 'cifar' | 'imagenet';
  /** Layers with weights on the longest path: of `cifar` 6n + 2, of `imagenet` 18, 34, 50, 101 or 152. */
  readonly depth: number;
  /** [H, W, 3] as trained. The network is fully convolutional and accepts other sizes. */
  readonly inputShape: readonly [number, number, 3];
  readonly classes: number;
  /** Channels of the first stage's basic blocks; twice as many in each stage that follows, and four times as many where bottlenecks end. */
  readonly width: number;
  /** Of the 3×3 convolutions of bottlenecks: each group of output channels sees its own group of input channels (ResNeXt: 32). */
  readonly groups: number;
  /** Inside a bottleneck stand ⌊channels · widthPerGroup / 64⌋ · groups channels (torchvision's name and formula; wide ResNets: 128). */
  readonly widthPerGroup: number;
  /** Which convolution of a bottleneck has the stride: `1x1` as published (v1), `3x3` as torchvision and most weights have it (v1.5). */
  readonly bottleneckStride: '1x1' | '3x3';
  /** `7x7`: stride 2 and a 3×3 max pool of stride 2; `3x3`: stride 1 alone. */
  readonly stem: '7x7' | '3x3';
  /** What the stem gets: `none` is [r, g, b], `rgb6` is [r, g, b, 1−r, 1−g, 1−b]. */
  readonly encoding: 'none' | 'rgb6';
  /** The first thing the network does: (x − mean) / std for each of red, green, blue in [0, 1] (of 1−r: 1−mean, std); null: nothing. */
  readonly normalisation: Normalisation | null;
  /** Where a block changes its shape: `projection` = 1×1 convolution and batch norm (option B); `pad` = zero channels (option A, no weights). */
  readonly shortcut: 'projection' | 'pad';
  /** `batch`: of the batch in training, running statistics else; `frozen`: constants also in training; `folded`: none, biases instead. */
  readonly batchNorm: 'batch' | 'frozen' | 'folded';
  /** Whether the linear layer sees the `pooled` features, or every position, whose logits are averaged: a `map` of logits, tap `fc`. */
  readonly classifier: 'pooled' | 'map';
  /** Share of each target that is spread evenly over all classes by the loss. */
  readonly labelSmoothing: number;
};

/** The depths of the paper on CIFAR, arXiv 1512.03385 section 4.2 (table 6). Other depths 6n + 2 are accepted. */
export const resnetDepths = [20, 32, 44, 56, 110, 1202] as const;

/** Blocks of each stage by depth, arXiv 1512.03385 table 1: basic ones up to 34, then bottlenecks. */
export const imagenetStages: ReadonlyMap<number, readonly [number, number, number, number]> = new Map([
  [18, [2, 2, 2, 2]],
  [34, [3, 4, 6, 3]],
  [50, [3, 4, 6, 3]],
  [101, [3, 4, 23, 3]],
  [152, [3, 8, 36, 3]],
]);

/** Whether the blocks are bottlenecks. */
export function hasBottlenecks({ design, depth }: Pick<ResnetConfig, 'design' | 'depth'>): boolean {
  return design === 'imagenet' && depth > 34;
}

/** What a config of this design has where nothing is said. */
const designDefaults = {
  cifar: { inputShape: [32, 32, 3], classes: 10, width: 16, stem: '3x3', normalisation: cifar10Normalisation },
  imagenet: { inputShape: [224, 224, 3], classes: 1000, width: 64, stem: '7x7', normalisation: imagenetNormalisation },
} as const;

/** The deepest network of the paper. */
const maxDepth = 1202;
/** A side beyond which a single stage-1 activation passes a GiB. */
const maxSide = 4096;
/** Far above any data set here; a larger number is a mistake that would ask for gigabytes of weights. */
const maxClasses = 100_000;
/** Wide ResNets go to 160; the limit keeps a typing error from asking for gigabytes. */
const maxWidth = 1024;

const count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(most));
const side = count(maxSide);
const channelMean = v.pipe(v.number(), v.finite());
const channelStd = v.pipe(v.number(), v.finite(), v.gtValue(0));

export const resnetConfigSchema = v.pipe(
  v.strictObject({
    kind: v.literal('resnet'),
    design: v.optional(v.picklist(['cifar', 'imagenet']), 'cifar'),
    depth: v.pipe(v.number(), v.integer(), v.minValue(8), v.maxValue(maxDepth)),
    inputShape: v.optional(v.strictTuple([side, side, v.literal(3)])),
    classes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(maxClasses))),
    width: v.optional(count(maxWidth)),
    groups: v.optional(count(maxWidth), 1),
    widthPerGroup: v.optional(count(maxWidth), 64),
    bottleneckStride: v.optional(v.picklist(['1x1', '3x3']), '3x3'),
    stem: v.optional(v.picklist(['7x7', '3x3'])),
    encoding: v.optional(v.picklist(['none', 'rgb6']), 'none'),
    normalisation: v.optional(
      v.nullable(
        v.strictObject({
          mean: v.strictTuple([channelMean, channelMean, channelMean]),
          std: v.strictTuple([channelStd, channelStd, channelStd]),
        }),
      ),
    ),
    shortcut: v.optional(v.picklist(['projection', 'pad']), 'projection'),
    batchNorm: v.optional(v.picklist(['batch', 'frozen', 'folded']), 'batch'),
    classifier: v.optional(v.picklist(['pooled', 'map']), 'pooled'),
    labelSmoothing: v.optional(v.pipe(v.number(), v.minValue(0), v.ltValue(1)), 0),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const input = dataset.value;
    const issue = (key: keyof typeof input, message: string, expected: string): void => {
      addIssue({ message, expected, path: [{ type: 'object', origin: 'value', input, key, value: input[key] }] });
    };
    const { design, depth, groups, widthPerGroup } = input;
    if (design === 'cifar' && (depth - 2) % 6 !== 0) {
      const other = imagenetStages.has(depth) ? '; this one has "design": "imagenet"' : '';
      issue('depth', 'Not a depth', `6n + 2 (20, 32, 44, 56, 110, …)${other}`);
    } else if (design === 'imagenet' && !imagenetStages.has(depth)) {
      const other = (depth - 2) % 6 === 0 ? '; this one has "design": "cifar"' : '';
      issue('depth', 'Not a depth of the table', `${[...imagenetStages.keys()].join(', ')}${other}`);
    } else if (!hasBottlenecks(input)) {
      if (groups !== 1) issue('groups', 'Only bottlenecks have groups', '1 at this depth');
      if (widthPerGroup !== 64) issue('widthPerGroup', 'Only bottlenecks have an inner width', '64 at this depth');
    } else {
      const width = input.width ?? designDefaults[design].width;
      if ((width * widthPerGroup) % 64 !== 0) {
        issue(
          'widthPerGroup',
          'Not a whole number of channels',
          `a multiple of ${64 / greatestCommonDivisor(64, width)} at width ${width}`,
        );
      }
    }
  }),
  v.transform((config): ResnetConfig => {
    const defaults = designDefaults[config.design];
    const { kind, design, depth, inputShape, classes, width, stem, normalisation, ...rest } = config;
    // always in the same order: files that hold a config read again have the same bytes
    return {
      kind,
      design,
      depth,
      inputShape: inputShape ?? defaults.inputShape,
      classes: classes ?? defaults.classes,
      width: width ?? defaults.width,
      stem: stem ?? defaults.stem,
      normalisation: normalisation === undefined ? defaults.normalisation : normalisation,
      ...rest,
    };
  }),
);

/** What a caller may leave out: all but `kind` and `depth`. */
export type ResnetOptions = Pick<ResnetConfig, 'kind' | 'depth'> & Partial<ResnetConfig>;

/** The full config. Throws a CodaError that names the leaf, and for a misspelt key the nearest right one. */
export function parseResnetConfig(config: unknown, where = 'resnet: config'): ResnetConfig {
  return parseConfig(resnetConfigSchema, config, where);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
