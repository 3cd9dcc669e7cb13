/** The weights of a hybrid's stem out of those of the whole backbone, trained as a classifier before. */
import { checkWeights, type NamedArrays, type NdArray } from '@coda-nets/core';
import { resnet, resnetStem } from '@coda-nets/resnet';
import { stemPrefix, type Hybrid } from './hybrid.ts';

/**
 * `backboneWeights` are all weights of `resnet(network.config.backbone)`, with any number of classes; the result is the `stem.…` part of the
 * hybrid's: `{ ...initWeights(network, random), ...stemFrom(network, model.weights, file) }`. Arrays are not copied.
 * Throws a CodaError that lists missing, unexpected and mismatched names together; `where` names the source of the weights.
 */
export function stemFrom(
  network: Pick<Hybrid, 'config'>,
  backboneWeights: NamedArrays,
  where = 'stemFrom: backboneWeights',
): NamedArrays {
  const { backbone, cut } = network.config;
  const stem = resnetStem(backbone, cut);
  const known = resnet(backbone).weights;
  // What stands above the cut is not needed; what is nowhere in the backbone shows that it is another one.
  const relevant = Object.entries(backboneWeights).filter(
    ([name]) => Object.hasOwn(stem.weights, name) || !Object.hasOwn(known, name),
  );
  checkWeights(stem, Object.fromEntries(relevant), where);
  return Object.fromEntries(
    Object.keys(stem.weights).map((name) => [stemPrefix + name, backboneWeights[name] as NdArray]),
  );
}
