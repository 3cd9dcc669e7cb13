/** Which function builds the networks of a kind: what a saved `NetworkLayer` needs to know, and only the program that loads it does. */
import { CodaError } from '../errors.ts';
import type { JsonObject, Network } from '../network.ts';

type NetworkBuilder = (config: never) => Network;

const builders = new Map<string, NetworkBuilder>();

/**
 * Names the builder of networks whose config has this `kind`, as `tf.serialization.registerClass` names classes:
 * `registerNetwork('coda', codaNetwork)`, once, before `tf.loadLayersModel`.
 */
export function registerNetwork(kind: string, build: NetworkBuilder): void {
  builders.set(kind, build);
}

/** The network of a config as JSON. */
export function networkFromConfig(json: string): Network {
  const config = JSON.parse(json) as JsonObject & { readonly kind: string };
  const build = builders.get(config.kind);
  if (build !== undefined) return build(config as never);
  throw new CodaError({
    kind: 'unavailable',
    where: 'tf.loadLayersModel: CodaNetwork',
    problem: `no builder is registered for networks of kind ${JSON.stringify(config.kind)}`,
    expected: builders.size === 0 ? undefined : `one of ${[...builders.keys()].join(', ')}`,
    hint: `Call registerNetwork(${JSON.stringify(config.kind)}, …) of @coda-nets/core/layers before loading.`,
  });
}
