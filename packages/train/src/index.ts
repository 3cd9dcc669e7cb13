/** Data, augmentation, optimisers, schedules and a training loop that resumes exactly. */
export { imagesOf, imageSplit, type ImageDataset, type ImageSplit, type SplitName } from './data/image-dataset.ts';
export { dataFolder } from './data/data-cache.ts';
export { openCifar10 } from './data/open-cifar10.ts';
export { writeCifar10 } from './data/write-cifar10.ts';
export { datasetNames, openDataset } from './data/open-dataset.ts';
export { flip, flipAndCrop, noAugmentation, type Augmentation } from './data/augmentation.ts';
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
export { decodeImage, type DecodedImage, type ResizeMode } from './data/decode-image.ts';
