/**
 * timm's weights for the presets, by timm's tags: where they are, preprocessing, licence, recipe, accuracy. Data only: nothing is fetched.
 * Sources: timm's `models/resnet.py` (sizes, crops, interpolation) and `results/results-imagenet.csv` (accuracy, at the size it was measured).
 */
import { imagenetNormalisation } from './normalisation.ts';
import { imagenetLabels, imagenetLicence, type ImagePreprocessing, type PretrainedWeights } from './pretrained-weights.ts';
import type { ResnetPresetName } from './resnet-presets.ts';

interface Family {
  /** Side of the square the network gets, and its share of the shorter side of the image, as timm has them by default and for tests. */
  readonly size: number;
  readonly cropPct: number;
  readonly test?: { readonly size: number; readonly cropPct: number };
  readonly interpolation: ImagePreprocessing['interpolation'];
  readonly licence: string;
  readonly recipe: string;
}

const timm = { interpolation: 'bicubic', licence: 'timm: Apache-2.0' } as const;
const strikesBack = { ...timm, recipe: 'ResNet strikes back: https://arxiv.org/abs/2110.00476' };
const ownRecipe = { ...timm, recipe: 'https://huggingface.co/docs/timm/training_script' };
const torchvision = { interpolation: 'bilinear', licence: 'torchvision: BSD-3-Clause' } as const;
const families = {
  r: { ...strikesBack, size: 224, cropPct: 0.95, test: { size: 288, cropPct: 1 } },
  r3: { ...strikesBack, size: 160, cropPct: 0.95, test: { size: 224, cropPct: 0.95 } },
  a1h: { ...strikesBack, size: 176, cropPct: 0.9, test: { size: 224, cropPct: 1 } },
  t: { ...ownRecipe, size: 224, cropPct: 0.875 },
  tt: { ...ownRecipe, size: 224, cropPct: 0.875, test: { size: 288, cropPct: 0.95 } },
  tv: { ...torchvision, recipe: 'https://github.com/pytorch/vision/tree/main/references/classification', size: 224, cropPct: 0.875 },
  tv2: {
    ...torchvision,
    recipe: 'https://github.com/pytorch/vision/issues/3995',
    size: 176,
    cropPct: 0.875,
    test: { size: 224, cropPct: 0.965 },
  },
} as const satisfies Readonly<Record<string, Family>>;

/** As timm cuts: the shorter side is scaled to ⌊size / share⌋ pixels. */
function cut({ size, cropPct }: Pick<Family, 'size' | 'cropPct'>): Pick<ImagePreprocessing, 'resize' | 'crop'> {
  return { resize: Math.floor(size / cropPct), crop: [size, size] };
}

type Sets = Readonly<Record<string, PretrainedWeights>>;

function sets(
  preset: ResnetPresetName,
  tags: Readonly<Record<string, readonly [keyof typeof families, top1?: number, top5?: number]>>,
): Sets {
  const timmName = preset.replace('wide-', 'wide_').replaceAll('-', '_');
  const entries = Object.entries(tags).map(([tag, [name, top1, top5]]): [string, PretrainedWeights] => {
    const family: Family = families[name];
    const { interpolation, licence, recipe, test } = family;
    return [
      tag,
      {
        url: `https://huggingface.co/timm/${timmName}.${tag}/resolve/main/model.safetensors`,
        preprocessing: { ...cut(family), interpolation, normalisation: imagenetNormalisation },
        labels: imagenetLabels,
        licence: `${licence}; ${imagenetLicence}`,
        recipe,
        ...(top1 !== undefined && top5 !== undefined && { accuracy: { top1, top5, ...(test !== undefined && { measuredAt: cut(test) }) } }),
      },
    ];
  });
  return Object.fromEntries(entries);
}

/** By preset and tag: `timmPretrained.resnet50.a1_in1k` is timm's `resnet50.a1_in1k`. Not all that timm names: its gluon sets are missing, and sets of other designs or data. */
export const timmPretrained: Readonly<Record<ResnetPresetName, Sets>> = {
  resnet18: sets('resnet18', {
    a1_in1k: ['r', 73.158, 91.026],
    a2_in1k: ['r', 72.372, 90.596],
    a3_in1k: ['r3', 68.254, 88.176],
    tv_in1k: ['tv', 69.76, 89.07],
  }),
  resnet34: sets('resnet34', {
    a1_in1k: ['r', 77.918, 93.766],
    a2_in1k: ['r', 77.158, 93.274],
    a3_in1k: ['r3', 72.97, 91.108],
    bt_in1k: ['tt', 76.48, 93.354],
    tv_in1k: ['tv'],
  }),
  resnet50: sets('resnet50', {
    a1_in1k: ['r', 81.214, 95.102],
    a1h_in1k: ['a1h', 80.676, 95.306],
    a2_in1k: ['r', 80.772, 94.988],
    a3_in1k: ['r3', 78.048, 93.78],
    b1k_in1k: ['r', 80.706, 95.432],
    b2k_in1k: ['r', 80.454, 95.318],
    c1_in1k: ['r', 80.912, 95.552],
    c2_in1k: ['r', 80.87, 95.534],
    d_in1k: ['r', 80.972, 95.43],
    ram_in1k: ['tt', 79.976, 95.052],
    am_in1k: ['t', 78.998, 94.396],
    ra_in1k: ['tt', 79.836, 94.966],
    bt_in1k: ['tt', 79.64, 94.892],
    tv_in1k: ['tv', 76.13, 92.858],
    tv2_in1k: ['tv2', 80.85, 95.434],
  }),
  resnet101: sets('resnet101', {
    a1h_in1k: ['r', 82.778, 96.31],
    a1_in1k: ['r', 82.322, 95.632],
    a2_in1k: ['r', 82.236, 95.73],
    a3_in1k: ['r3', 79.814, 94.606],
    tv_in1k: ['tv', 77.376, 93.542],
    tv2_in1k: ['tv2', 81.89, 95.768],
  }),
  resnet152: sets('resnet152', {
    a1h_in1k: ['r', 83.45, 96.538],
    a1_in1k: ['r', 82.732, 95.72],
    a2_in1k: ['r', 82.608, 95.752],
    a3_in1k: ['r3', 80.546, 95],
    tv_in1k: ['tv', 78.322, 94.048],
    tv2_in1k: ['tv2', 82.288, 96.004],
  }),
  'wide-resnet50-2': sets('wide-resnet50-2', {
    racm_in1k: ['tt', 82.28, 96.064],
    tv_in1k: ['tv', 78.48, 94.086],
    tv2_in1k: ['tv2', 81.606, 95.762],
  }),
  'resnext50-32x4d': sets('resnext50-32x4d', {
    a1h_in1k: ['r', 82.014, 95.934],
    a1_in1k: ['r', 81.466, 95.174],
    a2_in1k: ['r', 81.304, 95.096],
    a3_in1k: ['r3', 79.268, 94.306],
    ra_in1k: ['tt', 80.698, 95.39],
    tv_in1k: ['tv', 77.618, 93.696],
    tv2_in1k: ['tv2', 81.182, 95.34],
  }),
};
