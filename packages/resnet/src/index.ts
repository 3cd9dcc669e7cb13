/** ResNets for TensorFlow.js, every block a named tap, with torchvision's and timm's weights. */
export { resnet, type Resnet } from './resnet.ts';
export { resnetCuts, resnetStem, type ResnetStem, type StemResult } from './resnet-stem.ts';
export type { ResnetTap } from './resnet-plan.ts';
export { parseResnetConfig, resnetConfigSchema, resnetDepths, type ResnetConfig, type ResnetOptions } from './resnet-config.ts';
export { resnetPresets, type ResnetPresetName } from './resnet-presets.ts';
export {
  resnetPretrained,
  type ImagePreprocessing,
  type PretrainedName,
  type PretrainedWeights,
  type PublishedAccuracy,
} from './pretrained-weights.ts';
export { timmPretrained } from './timm-weights.ts';
export { cifar10Normalisation, imagenetNormalisation, type Normalisation } from './normalisation.ts';
export { exportStateDict, importStateDict } from './state-dict.ts';
export { loadStateDict } from './load-state-dict.ts';
export type { ResnetWithWeights } from './resnet-with-weights.ts';
export { foldBatchNorm } from './fold-batch-norm.ts';
export { withClasses } from './with-classes.ts';
export { withSixChannels } from './with-six-channels.ts';
export { softmaxCrossEntropy } from './softmax-cross-entropy.ts';
export {
  batchNormEpsilon,
  batchNormInference,
  batchNormMomentum,
  batchNormTraining,
  type BatchNormTraining,
  type BatchNormWeights,
} from './batch-norm.ts';
