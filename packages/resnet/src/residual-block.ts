/**
 * The residual blocks: basic and bottleneck, with the shortcuts of options A and B.
 * Source: He et al., arXiv 1512.03385 sections 3.2, 3.3, 4.1 (figure 5) and 4.2.
 */
import * as tf from '@tensorflow/tfjs-core';
import { convBatchNorm } from './conv-batch-norm.ts';
import type { LayerScope } from './layer-scope.ts';
import type { BlockPlan } from './resnet-plan.ts';

/** y = relu(F(x) + S(x)): F = convolutions with batch norm, relu between them; S the identity, or the shortcut where the shape changes. F is the branch that the context is told of, by the block's name. */
export function residualBlock(scope: LayerScope, plan: BlockPlan, x: tf.Tensor4D): tf.Tensor4D {
  let residual = x;
  for (const [i, conv] of plan.residual.entries()) residual = convBatchNorm(scope, conv, i === 0 ? residual : tf.relu(residual));
  residual = scope.context.branch?.(plan.name, residual) ?? residual;
  return tf.relu(tf.add(residual, shortcut(scope, plan, x)));
}

function shortcut(scope: LayerScope, plan: BlockPlan, x: tf.Tensor4D): tf.Tensor4D {
  if (plan.projection !== undefined) return convBatchNorm(scope, plan.projection, x);
  return plan.stride === 1 && plan.inChannels === plan.outChannels ? x : padShortcut(x, plan);
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
