/** The layer ResNets are made of: a convolution and its batch norm, or the one convolution that both are folded into. */
import * as tf from '@tensorflow/tfjs-core';
import { groupedConv2d, type WeightSpec } from '@coda-nets/core';
import { batchNormInference, batchNormTraining } from './batch-norm.ts';
import type { LayerScope } from './layer-scope.ts';
import type { ResnetConfig } from './resnet-config.ts';
import type { ConvPlan } from './resnet-plan.ts';
import { batchNormSpecs, biasSpecs, convSpecs } from './weight-specs.ts';

/** Kernel and batch norm; kernel and `<conv>.bias` where it is folded; with the role `frozen` for the norm's weights where it is frozen. */
export function convBatchNormSpecs(plan: ConvPlan, batchNorm: ResnetConfig['batchNorm']): Record<string, WeightSpec> {
  const { conv, bn, kernel, inChannels, outChannels, groups } = plan;
  const specs = convSpecs(conv, kernel, inChannels / groups, outChannels);
  if (batchNorm === 'folded') return { ...specs, ...biasSpecs(conv, outChannels) };
  const norm = Object.entries(batchNormSpecs(bn, outChannels));
  return {
    ...specs,
    ...Object.fromEntries(norm.map(([name, spec]) => [name, batchNorm === 'frozen' ? { ...spec, role: 'frozen' } : spec])),
  };
}

/** Convolution with (k − 1)/2 zeros around the image, then batch norm in the mode of the scope. */
export function convBatchNorm(scope: LayerScope, { conv, bn, kernel, stride, groups }: ConvPlan, x: tf.Tensor4D): tf.Tensor4D {
  const weight = scope.weight<tf.Tensor4D>(`${conv}.weight`);
  const convolved = groupedConv2d(x, weight, { groups, strides: stride, pad: (kernel - 1) / 2 });
  if (scope.batchNorm === 'folded') return tf.add(convolved, scope.weight(`${conv}.bias`));
  const weights = {
    gamma: scope.weight<tf.Tensor1D>(`${bn}.weight`),
    beta: scope.weight<tf.Tensor1D>(`${bn}.bias`),
    runningMean: scope.weight<tf.Tensor1D>(`${bn}.running_mean`),
    runningVariance: scope.weight<tf.Tensor1D>(`${bn}.running_var`),
  };
  if (!scope.context.training || scope.batchNorm === 'frozen') return batchNormInference(convolved, weights);
  const { y, runningMean, runningVariance } = batchNormTraining(convolved, weights, { ranks: scope.context.ranks, name: bn });
  scope.setStatistic(`${bn}.running_mean`, runningMean);
  scope.setStatistic(`${bn}.running_var`, runningVariance);
  return y;
}
