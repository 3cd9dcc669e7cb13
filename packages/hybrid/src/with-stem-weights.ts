/** Puts the weights of a backbone, trained as a classifier before, into a hybrid's stem. */
import { checkWeights, type NamedArrays, type Network } from '@coda-nets/core';
import { resnet, resnetStem } from '@coda-nets/resnet';
import { parseHybridConfig } from './hybrid-config.ts';
import { stemPrefix } from './hybrid.ts';

/**
 * `weights` with every `stem.<name>` taken from `backboneWeights`, which are all weights of `resnet(network.config.backbone)`, with any number of
 * classes. Arrays are not copied, arguments not changed. Throws a CodaError that lists missing, unexpected and mismatched names together;
 * `where` names the source of the backbone's weights: a file.
 */
export function withStemWeights(
  network: Pick<Network, 'config'>,
  weights: NamedArrays,
  backboneWeights: NamedArrays,
  where = 'withStemWeights: backboneWeights',
): NamedArrays {
  const { backbone, cut } = parseHybridConfig(network.config, 'withStemWeights: network.config');
  const stem = resnetStem(backbone, cut);
  const known = resnet(backbone).weights;
  // What stands above the cut is not needed; what is nowhere in the backbone shows that it is another one.
  const relevant = Object.fromEntries(
    Object.entries(backboneWeights).filter(([name]) => Object.hasOwn(stem.weights, name) || !Object.hasOwn(known, name)),
  );
  checkWeights(stem, relevant, where);
  return {
    ...weights,
    ...Object.fromEntries(Object.entries(relevant).map(([name, array]) => [stemPrefix + name, array])),
  };
}
