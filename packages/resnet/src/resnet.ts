/**
 * ResNets: a stem, stages of residual blocks whose channels double as their sides halve, average pool, linear layer.
 * Source: He et al., arXiv 1512.03385: table 1 (ImageNet: 7×7 stem with max pool, four stages, bottlenecks from depth 50 on) and section 4.2
 * (CIFAR: 3×3 stem, three stages of basic blocks; its option A is `pad` here, and the default is option B as torchvision has it). Wide: arXiv
 * 1605.07146. ResNeXt: arXiv 1611.05431. Bottlenecks have their stride in the 3×3 convolution, as torchvision's (v1.5), unless told otherwise.
 * Normalisation stands inside the network.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  CodaError,
  inferenceContext,
  type ForwardContext,
  type ForwardResult,
  type JsonObject,
  type NamedTensors,
  type Network,
} from '@coda-nets/core';
import { LayerScope } from './layer-scope.ts';
import { parseResnetConfig, type ResnetConfig, type ResnetOptions } from './resnet-config.ts';
import { resnetTaps, type ResnetTap } from './resnet-plan.ts';
import { resnetCuts, resnetStem, type StemResult } from './resnet-stem.ts';
import { softmaxCrossEntropy } from './softmax-cross-entropy.ts';
import { linearSpecs } from './weight-specs.ts';

export interface Resnet extends Network {
  readonly config: ResnetConfig;
  readonly taps: readonly ResnetTap[];
  /** images [N, H, W, 3] in [0, 1] → what the last block gives, [N, H', W', C]. */
  forwardFeatures(weights: NamedTensors, images: tf.Tensor4D, context: ForwardContext): StemResult;
  /** The last block's features → logits [N, classes]: mean over all positions and linear layer, in the order of `config.classifier`. */
  forwardHead(weights: NamedTensors, features: tf.Tensor4D, context: ForwardContext): tf.Tensor2D;
  /** The linear layer as a 1×1 convolution of the last block's features: [N, H', W', classes], whose mean over all positions is the logits. */
  logitMap(weights: NamedTensors, features: tf.Tensor4D): tf.Tensor4D;
}

/**
 * The network of a config, which may come out of a file: all of it is checked.
 * Weights have torchvision's names: `conv1.weight`, `bn1.{weight,bias,running_mean,running_var}`, `layer1.0.conv1.weight`, …,
 * `layer2.0.downsample.0.weight`, `layer2.0.downsample.1.…`, `fc.weight`, `fc.bias`. Layouts are TensorFlow's: kernels [k, k, in, out],
 * `fc.weight` [in, out]; `importStateDict` turns PyTorch's [out, in, k, k] and [out, in].
 * Taps: `input` (the image, encoded), `conv1` (after batch norm and relu), `maxpool`, `layer1.0`, … (after the block's last relu), and `fc`, the
 * map of logits, where the config asks for it. Throws a CodaError for a bad config.
 */
export function resnet(options: ResnetOptions | JsonObject): Resnet {
  const config = parseResnetConfig(options);
  const stem = resnetStem(config, resnetCuts(config).at(-1) as string);
  const [, , channels] = stem.featureShape;
  const scopeOf = (weights: NamedTensors, features: tf.Tensor4D, context: ForwardContext): LayerScope => {
    checkFeatures(features, channels);
    return new LayerScope(weights, context, config);
  };

  const logitMap = (scope: LayerScope, features: tf.Tensor4D): tf.Tensor4D => {
    const kernel = tf.reshape(scope.weight('fc.weight'), [1, 1, channels, config.classes]) as tf.Tensor4D;
    return tf.add(tf.conv2d(features, kernel, 1, 'valid'), scope.weight('fc.bias'));
  };
  const forwardHead: Resnet['forwardHead'] = (weights, features, context) => {
    const scope = scopeOf(weights, features, context);
    if (config.classifier === 'map') return tf.mean(context.tap('fc', logitMap(scope, features)), [1, 2]);
    const pooled = tf.mean(features, [1, 2]) as tf.Tensor2D;
    return tf.add(tf.matMul(pooled, scope.weight<tf.Tensor2D>('fc.weight')), scope.weight('fc.bias'));
  };
  return {
    config,
    inputShape: config.inputShape,
    classes: config.classes,
    taps: resnetTaps(config),
    weights: { ...stem.weights, ...linearSpecs('fc', channels, config.classes) },
    logitBias: 0,
    residualBranches: stem.residualBranches,
    forwardFeatures: (weights, images, context) => stem.forwardFeatures(weights, images, context),
    forwardHead,
    logitMap: (weights, features) => logitMap(scopeOf(weights, features, inferenceContext), features),
    forward(weights, images, context): ForwardResult {
      const { features, statistics } = stem.forwardFeatures(weights, images, context);
      return { logits: forwardHead(weights, features, context), statistics };
    },
    loss: (logits, targets) => softmaxCrossEntropy(logits, targets, config.labelSmoothing),
    probabilities: (logits) => tf.softmax(logits),
  };
}

function checkFeatures({ rank, shape }: tf.Tensor, channels: number): void {
  if (rank === 4 && shape[3] === channels) return;
  throw new CodaError({
    kind: 'argument',
    where: 'resnet: features',
    problem: 'not what the last block gives',
    expected: `[N, H, W, ${channels}]`,
    got: `[${shape.join(', ')}]`,
  });
}
