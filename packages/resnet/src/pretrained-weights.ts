/**
 * Where torchvision's weights for the presets are to be had, and what belongs to them: preprocessing, labels, licence, recipe, accuracy. Data only: nothing is
 * fetched. Source: torchvision 0.14, `torchvision/models/resnet.py`, whose two sets differ in recipe and in preprocessing. timm's: `timm-weights.ts`.
 */
import { imagenetNormalisation, type Normalisation } from './normalisation.ts';
import type { ResnetPresetName } from './resnet-presets.ts';

export type PretrainedName = 'IMAGENET1K_V1' | 'IMAGENET1K_V2';

export interface ImagePreprocessing {
  /** Pixels of the shorter side after scaling. */
  readonly resize: number;
  /** [height, width] cut out of the middle after that. */
  readonly crop: readonly [height: number, width: number];
  readonly interpolation: 'bilinear' | 'bicubic';
  readonly normalisation: Normalisation;
}

export interface PretrainedWeights {
  /** Where the weights are. torchvision's is a pickle, to be saved as safetensors first; the end of its name is the beginning of its SHA-256. */
  readonly url: string;
  readonly preprocessing: ImagePreprocessing;
  /** Of the 1000 classes, in the order of the logits. */
  readonly labels: string;
  readonly licence: string;
  /** How they were trained: a paper, or a page. */
  readonly recipe: string;
  /** Per cent of ImageNet's validation images, as the source states it, with this preprocessing unless `measuredAt` says another; absent where it states none. */
  readonly accuracy?: PublishedAccuracy | undefined;
}

export interface PublishedAccuracy {
  readonly top1: number;
  readonly top5: number;
  readonly measuredAt?: Pick<ImagePreprocessing, 'resize' | 'crop'> | undefined;
}

export const imagenetLabels =
  'torchvision.models._meta._IMAGENET_CATEGORIES; the synsets of ILSVRC 2012, sorted by WordNet id: https://image-net.org/challenges/LSVRC/2012/';
/** What binds who uses weights that were trained on ImageNet, behind the licence of the weights. */
export const imagenetLicence =
  'the weights come from ImageNet (ILSVRC 2012), whose images are for non-commercial research and education: https://image-net.org/download';
const licence = `torchvision: BSD-3-Clause; ${imagenetLicence}`;
const recipes = {
  IMAGENET1K_V1: 'https://github.com/pytorch/vision/tree/main/references/classification',
  IMAGENET1K_V2: 'https://github.com/pytorch/vision/issues/3995',
} as const;

function weights(set: PretrainedName, file: string, resize: number, top1: number, top5: number): PretrainedWeights {
  return {
    url: `https://download.pytorch.org/models/${file}.pth`,
    preprocessing: { resize, crop: [224, 224], interpolation: 'bilinear', normalisation: imagenetNormalisation },
    labels: imagenetLabels,
    licence,
    recipe: recipes[set],
    accuracy: { top1, top5 },
  };
}
const v1 = (file: string, top1: number, top5: number): PretrainedWeights => weights('IMAGENET1K_V1', file, 256, top1, top5);
const v2 = (file: string, top1: number, top5: number): PretrainedWeights => weights('IMAGENET1K_V2', file, 232, top1, top5);

/** By preset and torchvision's name of the set. ResNet-18 and -34 have the first one only. */
export const resnetPretrained: Readonly<Record<ResnetPresetName, Readonly<Partial<Record<PretrainedName, PretrainedWeights>>>>> = {
  resnet18: { IMAGENET1K_V1: v1('resnet18-f37072fd', 69.758, 89.078) },
  resnet34: { IMAGENET1K_V1: v1('resnet34-b627a593', 73.314, 91.42) },
  resnet50: { IMAGENET1K_V1: v1('resnet50-0676ba61', 76.13, 92.862), IMAGENET1K_V2: v2('resnet50-11ad3fa6', 80.858, 95.434) },
  resnet101: { IMAGENET1K_V1: v1('resnet101-63fe2227', 77.374, 93.546), IMAGENET1K_V2: v2('resnet101-cd907fc2', 81.886, 95.78) },
  resnet152: { IMAGENET1K_V1: v1('resnet152-394f9c45', 78.312, 94.046), IMAGENET1K_V2: v2('resnet152-f82ba261', 82.284, 96.002) },
  'wide-resnet50-2': {
    IMAGENET1K_V1: v1('wide_resnet50_2-95faca4d', 78.468, 94.086),
    IMAGENET1K_V2: v2('wide_resnet50_2-9ba9bcbe', 81.602, 95.758),
  },
  'resnext50-32x4d': {
    IMAGENET1K_V1: v1('resnext50_32x4d-7cdf4587', 77.618, 93.698),
    IMAGENET1K_V2: v2('resnext50_32x4d-1a0047aa', 81.198, 95.34),
  },
};
