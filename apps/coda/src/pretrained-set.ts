/** What `--weights` of `coda import` says about a state dict of torchvision's or timm's: preprocessing, and a card. */
import { CodaError, nearestName, type JsonObject, type ModelCard, type Preprocessing } from '@coda-nets/core';
import { resnetPretrained, timmPretrained, type PretrainedWeights } from '@coda-nets/resnet';

export interface PretrainedSet {
  readonly preprocessing: Pick<Preprocessing, 'resize' | 'size' | 'interpolation'>;
  readonly card: ModelCard;
  readonly provenance: JsonObject;
}

const collections: Readonly<Record<string, Readonly<Record<string, Readonly<Partial<Record<string, PretrainedWeights>>>>>>> = {
  torchvision: resnetPretrained,
  timm: timmPretrained,
};

/** Undefined without `name`. Throws a CodaError for a set that the preset `config` does not have. timm's may be named with the network: `resnet50.a1_in1k`. */
export function pretrainedSet(name: string | undefined, format: string, config: string | undefined): PretrainedSet | undefined {
  if (name === undefined) return undefined;
  const refusal = (problem: string, expected: readonly string[]): CodaError => {
    const nearest = nearestName(name, expected);
    return new CodaError({
      kind: 'argument',
      where: 'import: --weights',
      problem,
      expected: expected.join(', '),
      got: name,
      hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
    });
  };
  const collection = Object.hasOwn(collections, format) ? collections[format] : undefined;
  if (collection === undefined) throw refusal('only ResNets have such sets', []);
  const sets = config !== undefined && Object.hasOwn(collection, config) ? collection[config] : undefined;
  if (sets === undefined) throw refusal('goes with a preset as --config', Object.keys(collection));
  const prefix = `${(config as string).replaceAll('-', '_')}.`;
  const key = name.startsWith(prefix) ? name.slice(prefix.length) : name;
  const weights = Object.hasOwn(sets, key) ? sets[key] : undefined;
  if (weights === undefined) throw refusal(`${format} has no such set of weights of ${config}`, Object.keys(sets));
  const { url, labels, preprocessing } = weights;
  return {
    preprocessing: { size: preprocessing.crop, resize: preprocessing.resize, interpolation: preprocessing.interpolation },
    card: cardOf(weights),
    provenance: { weights: key, url, labels },
  };
}

function cardOf({ url, licence, recipe, accuracy, preprocessing }: PretrainedWeights): ModelCard {
  const { resize, crop } = accuracy?.measuredAt ?? preprocessing;
  const on = `ImageNet, validation images, shorter side ${resize}, cut to ${crop.join(' × ')}; as published, not measured here`;
  const entry = (metric: string, per100: number) => ({ metric, value: Number((per100 / 100).toFixed(5)), on });
  return {
    data: 'ImageNet (ILSVRC 2012), training images of 1000 classes',
    recipe,
    accuracy: accuracy === undefined ? [] : [entry('top-1', accuracy.top1), entry('top-5', accuracy.top5)],
    licence,
    limits: [
      'knows the 1000 classes of ILSVRC 2012 and gives one of them for every image',
      'was not measured here on other data, on other sizes or for bias',
    ],
    source: url,
  };
}
