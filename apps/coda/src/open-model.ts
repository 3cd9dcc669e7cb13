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
  checkMetadata(network, model, path);
  return { path, model, network };
}

/** The file's own statements about its network: each must be true of the network its config means. */
function checkMetadata({ classes, inputShape }: Network, { classNames, preprocessing }: Model, path: string): void {
  const mismatch = (key: string, problem: string, expected: string, got: string): CodaError =>
    new CodaError({ kind: 'mismatch', where: `${path}: metadata "${key}"`, problem, expected, got });
  if (classNames.length !== classes)
    throw mismatch('class_names', "not one name for each of the network's classes", `${classes}`, `${classNames.length}`);
  const [height, width] = inputShape;
  const size = preprocessing.size.join(' × ');
  if (size !== `${height} × ${width}`) throw mismatch('preprocessing', "not the size of the network's input", `${height} × ${width}`, size);
}

/** Who names a run folder is told of the model in it. */
export async function readModelFile(path: string): Promise<Model> {
  try {
    return await readModel(path);
  } catch (error) {
    const inside = join(path, 'last.safetensors');
    if (!CodaError.isInstance(error) || error.kind !== 'unreadable' || !existsSync(inside)) throw error;
    throw error.withHint(`Did you mean ${inside}?`);
  }
}
