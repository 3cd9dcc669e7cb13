/** A ResNet up to one of its taps: features instead of logits, and only the weights they need. */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, nearestName, type ForwardContext, type NamedTensors, type WeightSpec } from '@coda-nets/core';
import { checkImages } from './check-images.ts';
import { convBatchNorm, convBatchNormSpecs } from './conv-batch-norm.ts';
import { LayerScope } from './layer-scope.ts';
import { encodeImages, normaliseImages } from './normalisation.ts';
import { residualBlock } from './residual-block.ts';
import { parseResnetConfig, type ResnetConfig, type ResnetOptions } from './resnet-config.ts';
import { blockPlans, convPlans, resnetTaps, stemPlan, type ResnetTap } from './resnet-plan.ts';

export interface StemResult {
  /** [N, H', W', C] */
  readonly features: tf.Tensor4D;
  /** New running statistics by full name; empty unless the context is training. */
  readonly statistics: NamedTensors;
}

export interface ResnetStem {
  /** Of the whole network. */
  readonly config: ResnetConfig;
  readonly cut: string;
  /** From `input` to the cut. */
  readonly taps: readonly ResnetTap[];
  /** By torchvision's names, in the order of the forward pass; conv kernels are [k, k, in, out]. */
  readonly weights: Readonly<Record<string, WeightSpec>>;
  /** The blocks below the cut, each of which tells the context of its residual branch. */
  readonly residualBranches: readonly string[];
  /** [H', W', C] for an image of `config.inputShape`. */
  readonly featureShape: readonly [number, number, number];
  /** images [N, H, W, 3] in [0, 1] → features. `prefix` stands before each name in `weights` and in the statistics. */
  forwardFeatures(weights: NamedTensors, images: tf.Tensor4D, context: ForwardContext, prefix?: string): StemResult;
}

/** The taps at which a network of this config can be cut: all but `input` and the logits. */
export function resnetCuts(config: ResnetConfig): readonly string[] {
  return resnetTaps(config)
    .map(({ name }) => name)
    .filter((name) => name !== 'input' && name !== 'fc');
}

/** Throws a CodaError for a bad config, or a cut that the network does not have (with the nearest and the list). */
export function resnetStem(options: ResnetOptions, cut: string): ResnetStem {
  const config = parseResnetConfig(options);
  const cuts = resnetCuts(config);
  if (!cuts.includes(cut)) throw unknownCut(config, cut, cuts);
  const allTaps = resnetTaps(config);
  const taps = allTaps.slice(0, allTaps.findIndex(({ name }) => name === cut) + 1);
  const { channels, stride } = taps.at(-1) as ResnetTap;
  const stem = stemPlan(config);
  const blocks = blockPlans(config).filter(({ name }) => taps.some((tap) => tap.name === name));
  const pools = taps.some(({ name }) => name === 'maxpool');
  const weights: Record<string, WeightSpec> = {};
  for (const plan of convPlans(stem, blocks)) Object.assign(weights, convBatchNormSpecs(plan, config.batchNorm));

  return {
    config,
    cut,
    taps,
    weights,
    residualBranches: blocks.map(({ name }) => name),
    // Halving with (k − 1)/2 zeros on either side rounds up, and rounding up twice is rounding up once.
    featureShape: [Math.ceil(config.inputShape[0] / stride), Math.ceil(config.inputShape[1] / stride), channels],
    forwardFeatures(tensors, images, context, prefix = '') {
      checkImages(images);
      const scope = new LayerScope(tensors, context, config, prefix);
      let x = normaliseImages(context.tap('input', encodeImages(images, config)), config);
      x = context.tap('conv1', tf.relu(convBatchNorm(scope, stem.conv, x)));
      // Zeros for the −∞ around the image: nothing is below 0 after a relu, and every window has a pixel of the image.
      if (pools) x = context.tap('maxpool', tf.maxPool(x, 3, 2, 1));
      for (const plan of blocks) x = context.tap(plan.name, residualBlock(scope, plan, x));
      return { features: x, statistics: scope.statistics };
    },
  };
}

function unknownCut(config: ResnetConfig, cut: string, cuts: readonly string[]): CodaError {
  const near = typeof cut === 'string' ? nearestName(cut, cuts) : undefined;
  return new CodaError({
    kind: 'argument',
    where: 'resnetStem: cut',
    problem: `ResNet-${config.depth} has no such tap to be cut at`,
    expected: `one of ${cuts.join(', ')}`,
    got: JSON.stringify(cut),
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}
