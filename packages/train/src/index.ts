/** Data, augmentation, optimisers, schedules and a training loop that resumes exactly. */
export {
  fileSplit,
  imagesOf,
  imageSplit,
  type FileSplit,
  type ImageDataset,
  type ImageSplit,
  type PixelDataset,
  type PixelSplit,
  type SplitName,
} from './data/image-dataset.ts';
export type { ImageFile } from './data/image-file.ts';
export { dataFolder } from './data/data-cache.ts';
export { openCifar10 } from './data/open-cifar10.ts';
export { cifar10ClassNames } from './data/cifar10-format.ts';
export { writeCifar10 } from './data/write-cifar10.ts';
export { datasetNames, fetchableNames, openDataset } from './data/open-dataset.ts';
export { classNamed, selectClasses, withClasses, type ClassSelection } from './data/class-subset.ts';
export {
  flip,
  flipAndCrop,
  noAugmentation,
  type Augmentation,
  type AugmentationRecipe,
  type CropRecipe,
  type EraseRecipe,
  type PolicyRecipe,
  type SimpleAugmentation,
} from './data/augmentation.ts';
export { Ahead, batchTask, loadBatch, type BatchRecipe } from './data/batch-stream.ts';
export { batchMaker, defaultWorkers, type BatchMaker } from './data/batch-maker.ts';
export type { BadImage, BatchTask, MadeBatch } from './data/make-batch.ts';
export { assembleBatch, type AssembledBatch } from './data/assemble-batch.ts';
export {
  BatchSampler,
  epochOrder,
  sequentialBatches,
  type BatchSamplerOptions,
  type BatchSamplerState,
  type SampledBatch,
} from './data/batch-sampler.ts';
export { holdOut, subset } from './data/hold-out.ts';
export { syntheticDataset, type SyntheticOptions } from './data/synthetic-dataset.ts';
export { fetchCifar10, type FetchOptions, type FetchProgress, type FetchResult } from './data/fetch-cifar10.ts';
export { npmCifar10, officialCifar10, type ArchiveSource } from './data/cifar10-sources.ts';
export { loadImages, type LoadedImages, type LoadImagesOptions } from './data/load-images.ts';
export { decodeImage, type DecodedImage, type Interpolation, type ResizeMode } from './data/decode-image.ts';
export { train } from './train.ts';
export type { EpochEnd, TrainOptions, TrainResult } from './train-options.ts';
export type { TrainEvent } from './train-events.ts';
export { parseTrainConfig, trainConfigSchema, type TrainConfig, type TrainConfigInput } from './train-config.ts';
export { configToResume, refuseRun, storedConfig } from './run-folder.ts';
export { measureAlignment, type Alignment, type LayerAlignment, type MeasureAlignmentOptions, type Spread } from './alignment.ts';
export { evaluate, evaluatePart, type EvaluateOptions, type Evaluation } from './evaluation.ts';
export { isOf, mergeEvaluations, wholeWork, type BatchFigures, type EvaluationPart, type Share } from './evaluation-part.ts';
export type { FeatureCopy, Features } from './features.ts';
export { computeFeatures, type ComputeFeaturesOptions } from './frozen-features.ts';
export { mixedInputs, penaltyInput, smoothed } from './training-gradient.ts';
export { averageInput, scalarInput } from './training-update.ts';
export {
  gradientOutput,
  statisticOutput,
  trainingStep,
  updateInput,
  type HalfStep,
  type TrainingStep,
  type TrainingStepOptions,
} from './training-step.ts';
export { depthInput } from './stochastic-depth.ts';
export type { ClipConfig } from './clip-gradients.ts';
export { metricNames, type MetricName } from './metrics.ts';
export { initialSlots, optimiser, slotName, type Optimiser, type OptimiserConfig, type OptimiserStep } from './optimisers.ts';
export { learningRateAt, type ScheduleConfig } from './schedules.ts';
