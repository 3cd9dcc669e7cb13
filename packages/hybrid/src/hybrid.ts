/**
 * Hybrids: a conventional ResNet up to a cut, and CoDA layers above it. From the cut upwards the network is one dynamic linear map, so that
 * contributions there are exact; below they are gradient × activation. The idea is arXiv 2109.13004's (abstract, interpretable depth); the
 * paper's code for it is not public, so where to cut, the head and its readout are a reconstruction.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  checkWeights,
  CodaError,
  holdConstant,
  inferenceContext,
  type FrozenStem,
  type JsonObject,
  type NamedArrays,
  type NamedTensors,
  type Network,
  type Tap,
  type WeightSpec,
} from '@coda-nets/core';
import { binaryCrossEntropy, codaLinearMap } from '@coda-nets/dau';
import { resnetStem } from '@coda-nets/resnet';
import { parseHybridConfig, type HybridConfig, type HybridOptions } from './hybrid-config.ts';
import { headPrefix, hybridHead } from './hybrid-head.ts';

/** Stands before the backbone's names in a hybrid's weights. */
export const stemPrefix = 'stem.';

export interface Hybrid extends Network {
  readonly config: HybridConfig;
}

/**
 * The network of a config, which may come out of a file: all of it is checked. Weights: `stem.` and torchvision's name (layouts as in `resnet`), then `head.0.B`, `head.0.A`, `head.0.b`, ….
 * Taps: the backbone's from `input` to the cut, then `head.0`, …; the cut and those of the head are exact.
 * A frozen stem's weights and statistics all have the role `frozen`, get no gradient, and its batch norm stays in inference mode while the
 * head is trained; its `frozenStem` lets the features be computed once. Throws a CodaError for a bad config.
 */
export function hybrid(options: HybridOptions | JsonObject): Hybrid {
  const config = parseHybridConfig(options);
  const frozen = config.stem === 'frozen';
  const stem = resnetStem(config.backbone, config.cut);
  const cut = stem.taps.at(-1) as Tap;
  const head = hybridHead(config.head, cut);
  const { layers, norm, eps, temperature } = config.head;
  const dynamicLinear = codaLinearMap({ layers, norm, eps, temperature, input: cut.name, prefix: headPrefix });
  const weights: Record<string, WeightSpec> = {};
  for (const [name, spec] of Object.entries(stem.weights)) {
    weights[stemPrefix + name] = frozen ? { ...spec, role: 'frozen', decay: false } : spec;
  }
  Object.assign(weights, head.weights);
  const stemNames = Object.keys(stem.weights).map((name) => stemPrefix + name);
  const headNames = Object.keys(head.weights);
  const check = (tensors: NamedTensors, names: readonly string[]): NamedTensors => requireWeights(weights, tensors, names);

  const frozenStem: FrozenStem = {
    featureShape: stem.featureShape,
    embed: (tensors, images) =>
      stem.forwardFeatures(heldConstant(check(tensors, stemNames)), images, inferenceContext, stemPrefix).features,
    forwardHead: (tensors, features, context) => {
      checkFeatures(features, cut);
      return { ...head.forward(check(tensors, headNames), context.tap(cut.name, features), context), statistics: {} };
    },
  };
  return {
    config,
    inputShape: config.backbone.inputShape,
    classes: config.classes,
    taps: [...stem.taps.map((tap) => (tap === cut ? { ...tap, exact: true } : tap)), ...head.taps],
    weights,
    logitBias: config.head.logitBias,
    ...(frozen ? { frozenStem } : { residualBranches: stem.residualBranches }),
    dynamicLinear,
    forward: (tensors, images, context) => {
      const own = check(tensors, stemNames);
      const { features, statistics } = frozen
        ? stem.forwardFeatures(heldConstant(own), images, { training: false, tap: (name, x) => context.tap(name, x) }, stemPrefix)
        : stem.forwardFeatures(own, images, context, stemPrefix);
      return { ...head.forward(check(tensors, headNames), features, context), statistics };
    },
    loss: binaryCrossEntropy,
    probabilities: (logits) => tf.sigmoid(logits),
  };
}

/** The tensors of these names. Throws one CodaError that lists what is missing and what has a wrong shape; others are left alone. */
function requireWeights(specs: Readonly<Record<string, WeightSpec>>, tensors: NamedTensors, names: readonly string[]): NamedTensors {
  const given: Record<string, tf.Tensor> = {};
  const wanted: Record<string, WeightSpec> = {};
  for (const name of names) {
    wanted[name] = specs[name] as WeightSpec;
    const tensor = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
    if (tensor !== undefined) given[name] = tensor;
  }
  // Only dtypes and shapes are looked at, which tensors have as arrays do.
  checkWeights({ weights: wanted }, given as unknown as NamedArrays, 'hybrid: weights');
  return given;
}

function heldConstant(tensors: NamedTensors): NamedTensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, x]) => [name, holdConstant(x)]));
}

function checkFeatures(features: tf.Tensor, cut: Tap): void {
  if (features.rank === 4 && features.shape[3] === cut.channels) return;
  throw new CodaError({
    kind: 'argument',
    where: 'hybrid: features',
    problem: `not what ${cut.name} gives`,
    expected: `[N, H, W, ${cut.channels}]`,
    got: `[${features.shape.join(', ')}]`,
  });
}
