/** A new classifier on a trained backbone: the first step of a transfer to other classes. */
import { checkWeights, type NamedArrays, type Random } from '@coda-nets/core';
import { parseResnetConfig, type ResnetOptions } from './resnet-config.ts';
import { featureChannels } from './resnet-plan.ts';
import type { ResnetWithWeights } from './resnet-with-weights.ts';
import { resnet } from './resnet.ts';
import { linearSpecs } from './weight-specs.ts';

/**
 * The same network for another number of classes: `fc.weight` and `fc.bias` are drawn anew, as for a new network, everything else is taken over
 * uncopied. Throws a CodaError where `weights` are not the network's, or for a number of classes that is none.
 */
export function withClasses(options: ResnetOptions, weights: NamedArrays, classes: number, random: Random): ResnetWithWeights {
  const before = parseResnetConfig(options);
  checkWeights(resnet(before), weights, 'withClasses: weights');
  const config = parseResnetConfig({ ...before, classes }, 'withClasses: config');
  const head = Object.entries(linearSpecs('fc', featureChannels(config), classes));
  return { config, weights: { ...weights, ...Object.fromEntries(head.map(([name, spec]) => [name, spec.init(random.split(name))])) } };
}
