/** The config of a CIFAR ResNet: what may be in it, its defaults, its limits. Builds nothing. */
import * as v from 'valibot';
import { parseConfig } from '@coda-nets/core';

/** Everything that is needed to build the network again, with every default filled in. JSON-able. */
export type ResnetConfig = {
  readonly kind: 'resnet';
  /** 6n + 2 layers: three stages of n blocks of two 3×3 convolutions, one convolution before, one linear layer after. */
  readonly depth: number;
  /** [H, W, 3] as trained. The network is fully convolutional and accepts other sizes. */
  readonly inputShape: readonly [number, number, 3];
  readonly classes: number;
  /** Channels of the first stage; the second has twice, the third four times as many. */
  readonly width: number;
  /** The first thing the network does: (x − mean) / std for each of red, green, blue in [0, 1]. */
  readonly normalisation: {
    readonly mean: readonly [number, number, number];
    readonly std: readonly [number, number, number];
  };
  /** Where a block changes its shape: `projection` = 1×1 convolution and batch norm (option B); `pad` = zero channels (option A, no weights). */
  readonly shortcut: 'projection' | 'pad';
  /** Share of each target that is spread evenly over all classes by the loss. */
  readonly labelSmoothing: number;
};

/** The depths of the paper, arXiv 1512.03385 section 4.2 (table 6). Other depths 6n + 2 are accepted. */
export const resnetDepths = [20, 32, 44, 56, 110, 1202] as const;

/** Mean and standard deviation of the pixels of CIFAR-10's 50,000 training images, in [0, 1]. */
export const cifar10Normalisation: ResnetConfig['normalisation'] = {
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.247, 0.2435, 0.2616],
};

/** The deepest network of the paper. */
const maxDepth = 1202;
/** A side beyond which a single stage-1 activation passes a GiB. */
const maxSide = 4096;
/** Far above any data set here; a larger number is a mistake that would ask for gigabytes of weights. */
const maxClasses = 100_000;
/** Wide ResNets go to 160; the limit keeps a typing error from asking for gigabytes. */
const maxWidth = 1024;

const side = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxSide));
const channelMean = v.pipe(v.number(), v.finite());
const channelStd = v.pipe(v.number(), v.finite(), v.gtValue(0));

export const resnetConfigSchema = v.strictObject({
  kind: v.literal('resnet'),
  depth: v.pipe(
    v.number(),
    v.integer(),
    v.minValue(8),
    v.maxValue(maxDepth),
    v.rawCheck(({ dataset, addIssue }) => {
      if (dataset.typed && (dataset.value - 2) % 6 !== 0) {
        addIssue({ message: 'Not a depth: of the form', expected: '6n + 2 (20, 32, 44, 56, 110, …)' });
      }
    }),
  ),
  inputShape: v.optional(v.strictTuple([side, side, v.literal(3)]), [32, 32, 3]),
  classes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(maxClasses)), 10),
  width: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxWidth)), 16),
  normalisation: v.optional(
    v.strictObject({
      mean: v.strictTuple([channelMean, channelMean, channelMean]),
      std: v.strictTuple([channelStd, channelStd, channelStd]),
    }),
    () => ({ mean: [...cifar10Normalisation.mean], std: [...cifar10Normalisation.std] }),
  ),
  shortcut: v.optional(v.picklist(['projection', 'pad']), 'projection'),
  labelSmoothing: v.optional(v.pipe(v.number(), v.minValue(0), v.ltValue(1)), 0),
});

/** What a caller may leave out: all but `kind` and `depth`. */
export type ResnetOptions = Pick<ResnetConfig, 'kind' | 'depth'> & Partial<ResnetConfig>;

/** The full config. Throws a CodaError that names the leaf, and for a misspelt key the nearest right one. */
export function parseResnetConfig(config: unknown, where = 'resnet: config'): ResnetConfig {
  return parseConfig(resnetConfigSchema, config, where);
}
