/** What `--weights` of `coda import` says about a state dict of torchvision's. */
import { CodaError, nearestName, type JsonObject } from '@coda-nets/core';
import { resnetPretrained, type PretrainedName } from '@coda-nets/resnet';

export interface PretrainedSet {
  /** Pixels of the shorter side before the crop. */
  readonly resize: number;
  readonly provenance: JsonObject;
}

/** Undefined without `name`. Throws a CodaError for a set that the preset `config` does not have. */
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
  if (format === 'coda-pytorch') throw refusal('only ResNets have such sets', []);
  const sets = config !== undefined && Object.hasOwn(resnetPretrained, config) ? resnetPretrained[config as 'resnet50'] : undefined;
  if (sets === undefined) throw refusal('goes with a preset as --config', Object.keys(resnetPretrained));
  const weights = Object.hasOwn(sets, name) ? sets[name as PretrainedName] : undefined;
  if (weights === undefined) throw refusal(`no set of weights of ${config}`, Object.keys(sets));
  const { url, labels, licence, accuracy, preprocessing } = weights;
  return {
    resize: preprocessing.resize,
    provenance: { weights: name, url, labels, licence, accuracy, interpolation: preprocessing.interpolation },
  };
}
