/** A model file and the network its config means, checked against each other. */
import { checkWeights, type Model, type Network } from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { buildNetwork } from './build-network.ts';

export interface OpenModel {
  readonly path: string;
  readonly model: Model;
  readonly network: Network;
}

export async function openModel(path: string): Promise<OpenModel> {
  const model = await readModel(path);
  const network = buildNetwork(model.config, path);
  checkWeights(network, model.weights, path);
  return { path, model, network };
}
