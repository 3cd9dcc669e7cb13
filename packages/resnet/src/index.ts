/** CIFAR ResNets for TensorFlow.js, every block a named tap. */
export { resnet, type Resnet } from './resnet.ts';
export { resnetCuts, resnetStem, type ResnetStem, type StemResult } from './resnet-stem.ts';
export {
  cifar10Normalisation,
  parseResnetConfig,
  resnetConfigSchema,
  resnetDepths,
  type ResnetConfig,
  type ResnetOptions,
} from './resnet-config.ts';
export { softmaxCrossEntropy } from './softmax-cross-entropy.ts';
export {
  batchNormEpsilon,
  batchNormInference,
  batchNormMomentum,
  batchNormTraining,
  type BatchNormTraining,
  type BatchNormWeights,
} from './batch-norm.ts';
