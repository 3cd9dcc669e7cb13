/**
 * CIFAR ResNets: 3×3 convolution, three stages of n basic blocks (width, 2·width, 4·width channels; sides halved twice), average pool,
 * linear layer. Depth 6n + 2. Source: He et al., arXiv 1512.03385 section 4.2, which uses option A; the default here is option B, the one
 * torchvision's ResNets have. Normalisation stands inside the network.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, type ForwardContext, type ForwardResult, type JsonObject, type NamedTensors, type Network } from '@coda-nets/core';
import { LayerScope } from './layer-scope.ts';
import { parseResnetConfig, type ResnetConfig, type ResnetOptions } from './resnet-config.ts';
import { resnetCuts, resnetStem, type StemResult } from './resnet-stem.ts';
import { softmaxCrossEntropy } from './softmax-cross-entropy.ts';
import { linearSpecs } from './weight-specs.ts';

export interface Resnet extends Network {
  readonly config: ResnetConfig;
  /** images [N, H, W, 3] in [0, 1] → what the last block gives, [N, H', W', C]. */
  forwardFeatures(weights: NamedTensors, images: tf.Tensor4D, context: ForwardContext): StemResult;
  /** The last block's features → logits [N, classes]: mean over all positions, then the linear layer. */
  forwardHead(weights: NamedTensors, features: tf.Tensor4D, context: ForwardContext): tf.Tensor2D;
}

/**
 * The network of a config, which may come out of a file: all of it is checked.
 * Weights have torchvision's names: `conv1.weight`, `bn1.{weight,bias,running_mean,running_var}`, `layer1.0.conv1.weight`, …,
 * `layer2.0.downsample.0.weight`, `layer2.0.downsample.1.…`, `fc.weight`, `fc.bias`. Layouts are TensorFlow's: kernels [k, k, in, out],
 * `fc.weight` [in, out]; files of PyTorch have [out, in, k, k] and [out, in] and are to be transposed on import.
 * Taps: `input` (the image), `conv1` (after batch norm and relu), `layer1.0`, … (after the block's last relu).
 * Throws a CodaError for a bad config.
 */
export function resnet(options: ResnetOptions | JsonObject): Resnet {
  const config = parseResnetConfig(options);
  const stem = resnetStem(config, resnetCuts(config).at(-1) as string);
  const [, , channels] = stem.featureShape;

  const forwardHead: Resnet['forwardHead'] = (weights, features, context) => {
    if (features.rank !== 4 || features.shape[3] !== channels) {
      throw new CodaError({
        kind: 'argument',
        where: 'resnet: features',
        problem: 'not what the last block gives',
        expected: `[N, H, W, ${channels}]`,
        got: `[${features.shape.join(', ')}]`,
      });
    }
    const scope = new LayerScope(weights, context, '');
    const pooled = tf.mean(features, [1, 2]) as tf.Tensor2D;
    return tf.add(tf.matMul(pooled, scope.weight<tf.Tensor2D>('fc.weight')), scope.weight('fc.bias'));
  };
  return {
    config,
    inputShape: config.inputShape,
    classes: config.classes,
    taps: stem.taps,
    weights: { ...stem.weights, ...linearSpecs('fc', channels, config.classes) },
    logitBias: 0,
    forwardFeatures: (weights, images, context) => stem.forwardFeatures(weights, images, context),
    forwardHead,
    forward(weights, images, context): ForwardResult {
      const { features, statistics } = stem.forwardFeatures(weights, images, context);
      return { logits: forwardHead(weights, features, context), statistics };
    },
    loss: (logits, targets) => softmaxCrossEntropy(logits, targets, config.labelSmoothing),
    probabilities: (logits) => tf.softmax(logits),
  };
}
