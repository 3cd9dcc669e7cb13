/**
 * The parts a CIFAR ResNet is made of: convolution with batch norm, and the basic residual block.
 * Source: He et al., arXiv 1512.03385 sections 3.2, 3.3 and 4.2. Not the bottleneck block of deeper ImageNet networks.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { WeightSpec } from '@coda-nets/core';
import { batchNormInference, batchNormTraining } from './batch-norm.ts';
import type { LayerScope } from './layer-scope.ts';
import type { ResnetConfig } from './resnet-config.ts';
import type { BlockPlan } from './resnet-plan.ts';
import { batchNormSpecs, convSpecs } from './weight-specs.ts';

type Shortcut = ResnetConfig['shortcut'];

/** The weights of a block, by torchvision's names. */
export function residualBlockSpecs(plan: BlockPlan, shortcut: Shortcut): Record<string, WeightSpec> {
  const { name, inChannels, outChannels } = plan;
  return {
    ...convSpecs(`${name}.conv1`, 3, inChannels, outChannels),
    ...batchNormSpecs(`${name}.bn1`, outChannels),
    ...convSpecs(`${name}.conv2`, 3, outChannels, outChannels),
    ...batchNormSpecs(`${name}.bn2`, outChannels),
    ...(changesShape(plan) && shortcut === 'projection'
      ? { ...convSpecs(`${name}.downsample.0`, 1, inChannels, outChannels), ...batchNormSpecs(`${name}.downsample.1`, outChannels) }
      : {}),
  };
}

/** y = relu(F(x) + S(x)): F = conv 3×3 (stride s), bn, relu, conv 3×3, bn; S the identity, or the shortcut where the shape changes. */
export function residualBlock(scope: LayerScope, plan: BlockPlan, shortcut: Shortcut, x: tf.Tensor4D): tf.Tensor4D {
  const { name, stride } = plan;
  const inner = tf.relu(convBatchNorm(scope, `${name}.conv1`, `${name}.bn1`, x, stride));
  const residual = convBatchNorm(scope, `${name}.conv2`, `${name}.bn2`, inner, 1);
  let carried = x;
  if (changesShape(plan)) {
    carried =
      shortcut === 'projection' ? convBatchNorm(scope, `${name}.downsample.0`, `${name}.downsample.1`, x, stride) : padShortcut(x, plan);
  }
  return tf.relu(tf.add(residual, carried)) as tf.Tensor4D;
}

/** Convolution with (k − 1)/2 zeros around the image, then batch norm in the mode of the scope's context. */
export function convBatchNorm(scope: LayerScope, convName: string, bnName: string, x: tf.Tensor4D, stride: 1 | 2): tf.Tensor4D {
  const kernel = scope.weight<tf.Tensor4D>(`${convName}.weight`);
  const border = (kernel.shape[0] - 1) / 2;
  // 'same' of stride 2 pads an even side on one end only, PyTorch on both.
  const explicit = stride === 2 && border > 0;
  const padded = explicit
    ? tf.pad(x, [
        [0, 0],
        [border, border],
        [border, border],
        [0, 0],
      ])
    : x;
  const convolved = tf.conv2d(padded as tf.Tensor4D, kernel, stride, stride === 1 ? 'same' : 'valid');
  const weights = {
    gamma: scope.weight<tf.Tensor1D>(`${bnName}.weight`),
    beta: scope.weight<tf.Tensor1D>(`${bnName}.bias`),
    runningMean: scope.weight<tf.Tensor1D>(`${bnName}.running_mean`),
    runningVariance: scope.weight<tf.Tensor1D>(`${bnName}.running_var`),
  };
  if (!scope.context.training) return batchNormInference(convolved, weights);
  const { y, runningMean, runningVariance } = batchNormTraining(convolved, weights);
  scope.setStatistic(`${bnName}.running_mean`, runningMean);
  scope.setStatistic(`${bnName}.running_var`, runningVariance);
  return y;
}

function changesShape({ stride, inChannels, outChannels }: BlockPlan): boolean {
  return stride !== 1 || inChannels !== outChannels;
}

/**
 * Option A: every second pixel, and zeros for the new channels (the paper does not say on which side: behind).
 * A 1×1 convolution with a constant 0/1 kernel, because a strided slice has no gradient in TensorFlow.js.
 */
function padShortcut(x: tf.Tensor4D, { inChannels, outChannels, stride }: BlockPlan): tf.Tensor4D {
  const values = new Float32Array(inChannels * outChannels);
  for (let c = 0; c < inChannels; c++) values[c * outChannels + c] = 1;
  return tf.conv2d(x, tf.tensor4d(values, [1, 1, inChannels, outChannels]), stride, 'valid');
}
