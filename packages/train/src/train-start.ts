/** What a run starts from, and whether it fits together: the images, the first weights, the last checkpoint. Trains nothing. */
import { checkWeights, CodaError, initWeights, listedNames, Random, type Engine, type NamedArrays, type Network } from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { listCheckpoints, readCheckpoint, type Checkpoint } from './checkpoint.ts';
import { holdOut, subset } from './data/hold-out.ts';
import type { ImageDataset, ImageSplit } from './data/image-dataset.ts';
import { checkSameConfig } from './same-config.ts';
import { parseTrainConfig, type TrainConfig } from './train-config.ts';
import type { TrainEvent } from './train-events.ts';

const goldenRatio = (1 + Math.sqrt(5)) / 2;

export interface Splits {
  readonly train: ImageSplit;
  readonly validation: ImageSplit | undefined;
}

export function splits({ limit, validation, seed, batch }: TrainConfig, dataset: ImageDataset): Splits {
  const some = spread(dataset.split('train'), limit);
  let train = some;
  let held: ImageSplit | undefined;
  if (validation.kind === 'held-out') {
    if (validation.count >= some.length) throw tooFew('validation.count', validation.count, some.length - 1);
    ({ rest: train, held } = holdOut(some, validation.count, Random.seeded(seed).split('hold-out')));
  } else if (validation.kind === 'test') held = spread(dataset.split('test'), validation.limit);
  if (batch > train.length) throw tooFew('batch', batch, train.length);
  return { train, validation: held };
}

/**
 * `limit` images of a split, one of each of so many equal parts; all where there are no more. The place in a part moves on by the golden ratio: at equal
 * distances, images dealt round the classes could be of one class alone.
 */
function spread(split: ImageSplit, limit: number | undefined): ImageSplit {
  if (limit === undefined || limit >= split.length) return split;
  const start = (part: number): number => Math.floor((part * split.length) / limit);
  return subset(
    split,
    Uint32Array.from({ length: limit }, (_, i) => start(i) + Math.floor(((i * goldenRatio) % 1) * (start(i + 1) - start(i)))),
  );
}

function tooFew(key: string, got: number, most: number): CodaError {
  return new CodaError({
    kind: 'argument',
    where: `train: config: ${key}`,
    problem: 'there are too few training images',
    expected: `at most ${most}`,
    got: String(got),
  });
}

export function checkCacheFeatures(network: Network, { cacheFeatures }: TrainConfig): void {
  if (!cacheFeatures || network.frozenStem !== undefined) return;
  throw new CodaError({
    kind: 'argument',
    where: 'train: config: cacheFeatures',
    problem: 'this network has no frozen stem whose features could be kept',
    expected: 'a hybrid with a frozen stem',
    got: `kind ${JSON.stringify(network.config.kind)}`,
  });
}

export function checkDataset(network: Network, dataset: ImageDataset): void {
  const { inputShape } = dataset;
  // images in files come in any size, and in three channels
  const fitsShape = inputShape === undefined ? network.inputShape[2] === 3 : network.inputShape.join() === inputShape.join();
  if (network.classes === dataset.classNames.length && fitsShape) return;
  const describe = (classes: number, shape: readonly number[] | undefined): string =>
    `${classes} classes of images ${shape === undefined ? 'of three channels' : `[${shape.join(', ')}]`}`;
  throw new CodaError({
    kind: 'mismatch',
    where: `train: data set ${dataset.name}`,
    problem: 'the network is made for other data',
    expected: describe(network.classes, network.inputShape),
    got: describe(dataset.classNames.length, inputShape),
  });
}

/** The newest that can be read; undefined where there is none: the run was ended before its first. */
export async function lastCheckpoint(folder: string, onEvent: ((event: TrainEvent) => void) | undefined): Promise<Checkpoint | undefined> {
  const steps = await listCheckpoints(folder);
  let problem: CodaError | undefined;
  for (const step of steps) {
    try {
      return await readCheckpoint(folder, step);
    } catch (error) {
      if (!CodaError.isInstance(error)) throw error;
      problem ??= error;
      onEvent?.({ type: 'notice', message: `The checkpoint of step ${step} cannot be read (${error.message}).` });
    }
  }
  // All are spoiled: to start anew without a word would throw the run away.
  if (problem !== undefined) throw problem;
  return undefined;
}

export function checkCheckpoint(
  { state, weights }: Checkpoint,
  {
    config,
    network,
    split,
    engine,
    folder,
    onEvent,
  }: {
    readonly config: TrainConfig;
    readonly network: Network;
    readonly split: ImageSplit;
    readonly engine: Engine;
    readonly folder: string;
    readonly onEvent: ((event: TrainEvent) => void) | undefined;
  },
): void {
  const place = `${folder}/${state.step}`;
  if (state.config !== undefined)
    checkSameConfig(config, parseTrainConfig(state.config, `${place}/state.json: config`), `${place}/state.json`);
  checkWeights(network, weights, `${place}/weights.safetensors`);
  if (state.dataFingerprint !== split.fingerprint) {
    throw new CodaError({
      kind: 'argument',
      where: place,
      problem: 'the run to resume was trained on other images',
      expected: state.dataFingerprint.slice(0, 12),
      got: split.fingerprint.slice(0, 12),
      hint: 'Resume with the data set of the run.',
    });
  }
  if (state.engine !== engine.name) {
    const message = `The run was on engine ${state.engine} and goes on with ${engine.name}: the last digits will differ.`;
    onEvent?.({ type: 'notice', message });
  }
}

/** `expected`: the slots that a run of this config begins with. */
export function checkSlots({ state, slots }: Checkpoint, expected: NamedArrays, folder: string): void {
  const names = new Set([...Object.keys(expected), ...Object.keys(slots)]);
  const wrong = [...names].filter((name) => expected[name]?.shape.join() !== slots[name]?.shape.join());
  if (wrong.length === 0) return;
  throw new CodaError({
    kind: 'malformed',
    where: `${folder}/${state.step}/optimiser.safetensors`,
    problem: `missing, unknown or of another shape than this optimiser has: ${listedNames(wrong)}`,
    hint: 'To go on from the checkpoint before, delete this one.',
  });
}

export async function firstWeights(
  { network, initialWeights }: { readonly network: Network; readonly initialWeights?: NamedArrays },
  config: TrainConfig,
): Promise<NamedArrays> {
  if (config.stem !== undefined && initialWeights === undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'train: config: stem',
      problem: 'its weights are not read here, and the run would start without them',
      expected: 'weights of the stem as `initialWeights`, or no such key',
      got: config.stem.path,
    });
  }
  const drawn = initWeights(network, Random.seeded(config.seed).split('weights'));
  const fromFile = config.initFrom !== undefined && initialWeights === undefined;
  const given = fromFile ? (await readModel(config.initFrom as string)).weights : (initialWeights ?? {});
  // a file may hold another network's head; what a caller hands over must be this network's
  const taken = fromFile ? Object.fromEntries(Object.entries(given).filter(([name]) => Object.hasOwn(network.weights, name))) : given;
  const where = fromFile ? (config.initFrom as string) : 'train: initialWeights';
  const missing = Object.entries(network.weights).find(([name, { role }]) => role === 'frozen' && taken[name] === undefined);
  if (missing !== undefined) {
    throw new CodaError({
      kind: 'mismatch',
      where,
      problem: `frozen weights are never trained and need values: there is none for ${JSON.stringify(missing[0])}`,
      hint: 'Start from a trained model that has them, such as `coda import` makes: `--stem FILE` on the command line, `initFrom` in a config. Or train them: "stem": "trained" in the network’s config.',
    });
  }
  if (fromFile && Object.keys(taken).length === 0) {
    throw new CodaError({ kind: 'mismatch', where, problem: 'none of its weights has a name of this network' });
  }
  const weights = { ...drawn, ...taken };
  checkWeights(network, weights, where);
  return weights;
}
