/** Every kind of network and every preset by name: the one place that knows all of them. */
import { CodaError, nearestName, type JsonObject, type Network } from '@coda-nets/core';
import { codaNetwork, codaPresets } from '@coda-nets/dau';
import { hybrid, hybridPresets, imagenetHybridPresets } from '@coda-nets/hybrid';
import { resnet, resnetPresets } from '@coda-nets/resnet';

const builders: Readonly<Record<string, (config: JsonObject) => Network>> = {
  coda: (config) => codaNetwork(config),
  hybrid,
  resnet,
};

/** The network of a config; the builder of its `kind` checks the rest. */
export function buildNetwork(config: JsonObject, where: string): Network {
  const kind = config['kind'];
  const builder = typeof kind === 'string' && Object.hasOwn(builders, kind) ? builders[kind] : undefined;
  if (builder === undefined) {
    const nearest = typeof kind === 'string' ? nearestName(kind, Object.keys(builders)) : undefined;
    throw new CodaError({
      kind: 'argument',
      where: `${where}: kind`,
      problem: 'no kind of network',
      expected: Object.keys(builders).join(', '),
      got: kind === undefined ? 'nothing' : typeof kind === 'object' ? 'no string' : JSON.stringify(kind),
      hint: nearest === undefined ? undefined : `Did you mean "${nearest}"?`,
    });
  }
  try {
    return builder(config);
  } catch (error) {
    throw CodaError.isInstance(error) ? error.within(where) : error;
  }
}

/** Network configs by the name a command takes. */
export const networkPresets: Readonly<Record<string, JsonObject>> = {
  'resnet20-cifar10': { kind: 'resnet', depth: 20 },
  'resnet32-cifar10': { kind: 'resnet', depth: 32 },
  'resnet56-cifar10': { kind: 'resnet', depth: 56 },
  'resnet110-cifar10': { kind: 'resnet', depth: 110 },
  ...resnetPresets,
  ...prefixed('hybrid', { ...hybridPresets, ...imagenetHybridPresets }),
  ...prefixed('coda', codaPresets),
};

function prefixed(prefix: string, presets: Readonly<Record<string, unknown>>): Record<string, JsonObject> {
  return Object.fromEntries(Object.entries(presets).map(([name, config]) => [`${prefix}-${name}`, config as JsonObject]));
}
