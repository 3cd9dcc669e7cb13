/** Writes the model of a run as it is at one step: weights, what images have to be, and where it all came from. */
import type { Engine, JsonObject, NamedArrays, Network, Preprocessing } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import type { CheckpointState } from './checkpoint.ts';
import type { ImageDataset } from './data/image-dataset.ts';
import type { TrainConfig } from './train-config.ts';

interface RunModel {
  readonly network: Network;
  readonly dataset: ImageDataset;
  readonly engine: Engine;
  readonly config: TrainConfig;
  readonly state: CheckpointState;
  /** Undefined: the network's input size, scaled as in the training. */
  readonly preprocessing: Preprocessing | undefined;
}

export async function writeRunModel(path: string, weights: NamedArrays, run: RunModel): Promise<void> {
  const { network, dataset, engine, config, state, preprocessing } = run;
  const { resize } = config;
  const [height, width] = network.inputShape;
  await writeModel(path, {
    config: network.config,
    preprocessing: preprocessing ?? { size: [height, width], layout: 'rgb', range: [0, 1], ...(resize !== undefined && { resize }) },
    classNames: dataset.classNames,
    weights,
    provenance: provenanceOf(config, dataset, state, engine),
  });
}

/** No time of day and no duration: the same run gives the same file. */
function provenanceOf(config: TrainConfig, dataset: ImageDataset, state: CheckpointState, engine: Engine): JsonObject {
  const { network: _, ...recipe } = config;
  const updates = Math.floor(state.step / config.accumulate);
  return {
    trainer: '@coda-nets/train',
    data: dataset.name,
    dataFingerprint: state.dataFingerprint,
    step: state.step,
    engine: engine.name,
    validation: state.validation,
    // the recipe has the last number of epochs, by whose schedule not all steps were done
    ...(state.lengths.length > 0 && { epochsBefore: state.lengths }),
    ...(config.ema !== undefined && { weights: `exponential moving average, decay ${config.ema.decay}, of ${updates} updates` }),
    recipe: recipe as unknown as JsonObject,
  };
}
