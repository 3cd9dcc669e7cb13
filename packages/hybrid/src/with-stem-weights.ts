/** Puts the weights of a backbone, trained as a classifier before, into a hybrid's stem. */
import { checkWeights, CodaError, type JsonObject, type NamedArrays, type Network } from '@coda-nets/core';
import { parseResnetConfig, resnet, resnetStem, type ResnetConfig } from '@coda-nets/resnet';
import { parseHybridConfig } from './hybrid-config.ts';
import { stemPrefix } from './hybrid.ts';

/**
 * Of a backbone's config what its stem does not depend on: size of images, classes and loss; and batch norm, which is the same function of the same weights
 * whether its statistics are to be trained or not (folded into convolutions it has other weights).
 */
const notOfStem: ReadonlySet<string> = new Set(['inputShape', 'classes', 'classifier', 'labelSmoothing', 'batchNorm']);

/**
 * `weights` with every `stem.<name>` taken from `backboneWeights`, which are all weights of `resnet(network.config.backbone)`, with any number of
 * classes. Arrays are not copied, arguments not changed. Throws a CodaError that lists missing, unexpected and mismatched names together;
 * `where` names the source of the backbone's weights: a file. With `trainedConfig`, that of the ResNet they were trained in, also where that computes something
 * else with weights of the same shapes.
 */
export function withStemWeights(
  network: Pick<Network, 'config'>,
  weights: NamedArrays,
  backboneWeights: NamedArrays,
  where = 'withStemWeights: backboneWeights',
  trainedConfig?: JsonObject,
): NamedArrays {
  const { backbone, cut } = parseHybridConfig(network.config, 'withStemWeights: network.config');
  const stem = resnetStem(backbone, cut);
  const known = resnet(backbone).weights;
  // What stands above the cut is not needed; what is nowhere in the backbone shows that it is another one.
  const relevant = Object.fromEntries(
    Object.entries(backboneWeights).filter(([name]) => Object.hasOwn(stem.weights, name) || !Object.hasOwn(known, name)),
  );
  checkWeights(stem, relevant, where);
  if (trainedConfig !== undefined) checkBackbone(backbone, parseResnetConfig(trainedConfig, `${where}: config`), where);
  return {
    ...weights,
    ...Object.fromEntries(Object.entries(relevant).map(([name, array]) => [stemPrefix + name, array])),
  };
}

function checkBackbone(backbone: ResnetConfig, trained: ResnetConfig, where: string): void {
  for (const key of Object.keys(backbone) as (keyof ResnetConfig)[]) {
    const [expected, got] = [backbone, trained].map((config) => JSON.stringify(config[key]));
    if (notOfStem.has(key) || expected === got) continue;
    throw new CodaError({
      kind: 'mismatch',
      where: `${where}: config: ${key}`,
      problem: 'the weights were trained in another network than the hybrid’s backbone',
      expected,
      got,
      hint: 'Choose another stem, or say in the hybrid’s backbone what this one was trained with.',
    });
  }
}
