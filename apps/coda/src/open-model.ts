/** A model file and the network its config means, checked against each other. */
import { checkWeights, CodaError, type Model, type Network } from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildNetwork } from './build-network.ts';

export interface OpenModel {
  readonly path: string;
  readonly model: Model;
  readonly network: Network;
}

export async function openModel(path: string): Promise<OpenModel> {
  const model = await readModelFile(path);
  const network = buildNetwork(model.config, path);
  checkWeights(network, model.weights, path);
  return { path, model, network };
}

/** Who names a run folder is told of the model in it. */
export async function readModelFile(path: string): Promise<Model> {
  try {
    return await readModel(path);
  } catch (error) {
    const inside = join(path, 'last.safetensors');
    if (!CodaError.isInstance(error) || error.kind !== 'unreadable' || !existsSync(inside)) throw error;
    const { kind, where, problem } = error;
    throw new CodaError({ kind, where, problem, hint: `Did you mean ${inside}?`, cause: error });
  }
}
