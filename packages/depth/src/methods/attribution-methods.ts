/** The methods by name, and the parameters that protocols give them: the same name with other parameters is another method. */
import { CodaError, nearestName } from '@coda-nets/core';
import { contributions } from './contributions.ts';
import { deepLift } from './deep-lift.ts';
import { gradCam } from './grad-cam.ts';
import { gradCamPlusPlus } from './grad-cam-plus-plus.ts';
import { gradient, inputXGradient } from './gradient.ts';
import { guidedBackprop } from './guided-backprop.ts';
import { intGrad } from './int-grad.ts';
import { layerCam } from './layer-cam.ts';
import { lime } from './lime.ts';
import type { Method } from './method.ts';
import { occlusion } from './occlusion.ts';
import { rise } from './rise.ts';
import { smoothGrad } from './smooth-grad.ts';

/** Each with options of its own; defaults are the original papers' where they say. */
export const attributionMethods = {
  contributions,
  gradient,
  inputXGradient,
  intGrad,
  smoothGrad,
  guidedBackprop,
  gradCam,
  gradCamPlusPlus,
  layerCam,
  occlusion,
  rise,
  lime,
  deepLift,
} as const;

export type MethodName = keyof typeof attributionMethods;

/**
 * `coda2021`: arXiv 2104.00032; `bcos2`: arXiv 2306.10898; `attr-eval`: Rao et al., arXiv 2205.10435; `original`: each method's own paper.
 * A protocol with two sizes of window has two entries.
 */
export const methodPresets: Readonly<Record<PresetName, Readonly<Record<string, () => Method>>>> = {
  coda2021: {
    contributions,
    gradient: () => gradient({ sign: 'signed' }),
    inputXGradient,
    intGrad: () => intGrad({ steps: 20 }),
    gradCam,
    occlusion5: () => occlusion({ window: 4, stride: 2 }),
    occlusion9: () => occlusion({ window: 8, stride: 2 }),
    rise: () => rise({ masks: 6000, cells: 6, p: 0.1 }),
    lime: () => lime({ samples: 256, features: 3 }),
    deepLift,
  },
  bcos2: {
    contributions,
    gradient: () => gradient({ sign: 'signed' }),
    inputXGradient,
    intGrad: () => intGrad({ steps: 50 }),
    gradCam,
    rise: () => rise({ masks: 500, cells: 8, p: 0.1 }),
    lime: () => lime({ samples: 500, features: 5 }),
    deepLift,
  },
  'attr-eval': {
    contributions,
    gradient: () => gradient({ sign: 'absolute' }),
    inputXGradient,
    intGrad: () => intGrad({ steps: 20 }),
    gradCam,
    gradCamPlusPlus,
    layerCam,
    occlusion5: () => occlusion({ window: 5, stride: 2 }),
    occlusion16: () => occlusion({ window: 16, stride: 8 }),
    rise: () => rise({ masks: 1000, cells: 6, p: 0.1 }),
  },
  original: {
    contributions,
    gradient: () => gradient({ sign: 'absolute' }),
    inputXGradient,
    intGrad: () => intGrad({ steps: 50 }),
    smoothGrad: () => smoothGrad({ samples: 25, noise: 0.15 }),
    guidedBackprop,
    gradCam,
    gradCamPlusPlus,
    layerCam,
    rise: () => rise({ masks: 4000, cells: 7, p: 0.5 }),
    lime: () => lime({ samples: 1000 }),
    deepLift,
  },
};

export type PresetName = 'coda2021' | 'bcos2' | 'attr-eval' | 'original';

/** The method of that name as a preset runs it. Throws a CodaError for a name it does not have, with the nearest one. */
export function presetMethod(preset: PresetName, name: string): Method {
  const methods = methodPresets[preset];
  const make = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (make !== undefined) return make();
  const known = Object.keys(methods);
  const near = nearestName(name, known);
  throw new CodaError({
    kind: 'argument',
    where: `presetMethod: ${preset}`,
    problem: 'no method of that name in this preset',
    expected: `one of ${known.join(', ')}`,
    got: JSON.stringify(name),
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}
