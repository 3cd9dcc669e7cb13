/** A CIFAR ResNet up to one of its taps: features instead of logits, and only the weights they need. */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, nearestName, type ForwardContext, type NamedTensors, type Tap, type WeightSpec } from '@coda-nets/core';
import { checkImages } from './check-images.ts';
import { LayerScope } from './layer-scope.ts';
import { convBatchNorm, residualBlock, residualBlockSpecs } from './residual-block.ts';
import { parseResnetConfig, type ResnetConfig, type ResnetOptions } from './resnet-config.ts';
import { blockPlans, resnetTaps } from './resnet-plan.ts';
import { batchNormSpecs, convSpecs } from './weight-specs.ts';

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
  readonly taps: readonly Tap[];
  /** By torchvision's names, in the order of the forward pass; conv kernels are [k, k, in, out]. */
  readonly weights: Readonly<Record<string, WeightSpec>>;
  /** [H', W', C] for an image of `config.inputShape`. */
  readonly featureShape: readonly [number, number, number];
  /** images [N, H, W, 3] in [0, 1] → features. `prefix` stands before each name in `weights` and in the statistics. */
  forwardFeatures(weights: NamedTensors, images: tf.Tensor4D, context: ForwardContext, prefix?: string): StemResult;
}

/** The taps at which a network of this config can be cut: all but `input`. */
export function resnetCuts(config: Pick<ResnetConfig, 'depth' | 'width'>): readonly string[] {
  return resnetTaps(config)
    .map(({ name }) => name)
    .filter((name) => name !== 'input');
}

/** Throws a CodaError for a bad config, or a cut that the network does not have (with the nearest and the list). */
export function resnetStem(options: ResnetOptions, cut: string): ResnetStem {
  const config = parseResnetConfig(options);
  const cuts = resnetCuts(config);
  if (!cuts.includes(cut)) throw unknownCut(config, cut, cuts);
  const allTaps = resnetTaps(config);
  const taps = allTaps.slice(0, allTaps.findIndex(({ name }) => name === cut) + 1);
  const { channels, stride } = taps.at(-1) as Tap;
  const plans = blockPlans(config).slice(0, taps.length - 2);
  const weights: Record<string, WeightSpec> = {
    ...convSpecs('conv1', 3, 3, config.width),
    ...batchNormSpecs('bn1', config.width),
  };
  for (const plan of plans) Object.assign(weights, residualBlockSpecs(plan, config.shortcut));

  return {
    config,
    cut,
    taps,
    weights,
    // Halving with one zero on either side rounds up, and rounding up twice is rounding up once.
    featureShape: [Math.ceil(config.inputShape[0] / stride), Math.ceil(config.inputShape[1] / stride), channels],
    forwardFeatures(tensors, images, context, prefix = '') {
      checkImages(images);
      const scope = new LayerScope(tensors, context, prefix);
      let x = normalise(context.tap('input', images), config.normalisation);
      x = context.tap('conv1', tf.relu(convBatchNorm(scope, 'conv1', 'bn1', x, 1)));
      for (const plan of plans) x = context.tap(plan.name, residualBlock(scope, plan, config.shortcut, x));
      return { features: x, statistics: scope.statistics };
    },
  };
}

/** (x − mean) / std as one product and one sum. */
function normalise(x: tf.Tensor4D, { mean, std }: ResnetConfig['normalisation']): tf.Tensor4D {
  const scale = std.map((s) => 1 / s);
  const shift = mean.map((m, c) => -m * (scale[c] as number));
  return tf.add(tf.mul(x, tf.tensor1d(scale)), tf.tensor1d(shift)) as tf.Tensor4D;
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
