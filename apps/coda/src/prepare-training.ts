/** What a call of `coda train` means: the config, the network and its first weights. Writes nothing and trains nothing. */
import {
  checkAll,
  CodaError,
  initWeights,
  Random,
  type JsonObject,
  type NamedArrays,
  type Network,
  type ProcessGroup,
} from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { withCut, withStemWeights, type Hybrid } from '@coda-nets/hybrid';
import {
  configToResume,
  parseTrainConfig,
  selectClasses,
  storedConfig,
  type ImageDataset,
  type TrainConfig,
  type TrainConfigInput,
} from '@coda-nets/train';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildNetwork } from './build-network.ts';
import { isConfigFile, readConfig } from './read-json.ts';
import { checkedStem, stemPath } from './stem-file.ts';
import { trainPreset, type TrainPreset } from './train-presets.ts';

export interface TrainingChoice {
  /** A preset, or a config file ending in `.json`; undefined: what the run that goes on was. */
  readonly preset: string | undefined;
  /** The data set as the caller named it, for the record. */
  readonly data: string;
  readonly dataset: ImageDataset;
  readonly out: string;
  /**
   * Goes on with the run in `out`, whose own config is taken; a preset only says what was started, and its network must be the run's.
   * `overrides` and what a config file says must equal it, but for what may change (`checkSameConfig` of the trainer).
   */
  readonly resume?: boolean;
  /** The processes that train together, by default one. */
  readonly group?: Pick<ProcessGroup, 'size'>;
  /** Takes the place of the stem that the config or preset names. */
  readonly stem?: string | undefined;
  /** Sides of the images that a preset which a rule makes is made for. */
  readonly size?: number | undefined;
  /** Moves the cut of a hybrid; see `withCut`. */
  readonly cut?: string | undefined;
  /** Keys of the config that the call sets. */
  readonly overrides?: Partial<TrainConfigInput>;
  /** So many images of the test split, where that is validated on. */
  readonly validationLimit?: number | undefined;
  /** Where kept features are written, too; refused where the config keeps none. */
  readonly featureCacheFolder?: string | undefined;
}

export interface PreparedTraining {
  readonly network: Network;
  readonly config: TrainConfig;
  /** Of the classes that are trained on. */
  readonly classNames: readonly string[];
  readonly initialWeights: NamedArrays | undefined;
}

export async function prepareTraining(choice: TrainingChoice): Promise<PreparedTraining> {
  const { data, dataset, out, resume = false, cut, overrides = {} } = choice;
  const isFile = choice.preset !== undefined && isConfigFile(choice.preset);
  const before = resume ? await storedConfig(out) : undefined;
  const stored = isFile ? undefined : before;
  const preset = choice.preset ?? join(out, 'config.json');
  const source = await sourceOf(choice, stored);
  const asked: TrainConfigInput = { ...source.config, ...stored, network: source.config.network, data, ...overrides };
  const [parsed, built] = checkAll(preset, [() => checkedConfig(asked, preset, choice), () => networkOf(asked.network, cut, preset)]);
  // only where the config is refused there is none
  const network = built as Network;
  const named = choice.stem === undefined ? (parsed.stem ?? before?.stem) : { path: choice.stem };
  const config = { ...parsed, network: network.config };
  const { classNames } = config.classes === undefined ? dataset : selectClasses(dataset, config.classes);
  if (named === undefined) return { network, config, classNames, initialWeights: undefined };
  checkTakesStem(network, choice.stem === undefined ? `${preset}: stem` : 'train: --stem');
  try {
    const stem = await checkedStem(named, choice.stem === undefined ? preset : 'train: --stem');
    return { network, config: { ...config, stem }, classNames, initialWeights: await weightsWithStem(network, config, stemPath(stem)) };
  } catch (error) {
    // whose weights are in a checkpoint needs the file no more
    if (!resume || choice.stem !== undefined || !existsSync(join(out, 'checkpoints'))) throw error;
    const stem = named.sha256 === undefined ? (before?.stem ?? named) : named;
    return { network, config: { ...config, stem }, classNames, initialWeights: undefined };
  }
}

function checkedConfig(
  asked: TrainConfigInput,
  preset: string,
  { overrides, validationLimit, featureCacheFolder }: TrainingChoice,
): TrainConfig {
  const config = parseTrainConfig(asked, preset);
  const limit = overrides?.limit;
  const [limited] = checkAll('train', [
    () => withValidationLimit(config, validationLimit),
    () => limit && checkLimit(limit, config),
    () => featureCacheFolder !== undefined && checkKeepsFeatures(config),
  ]);
  return limited;
}

function checkKeepsFeatures({ cacheFeatures }: TrainConfig): void {
  if (cacheFeatures) return;
  throw new CodaError({
    kind: 'argument',
    where: 'train: --feature-cache',
    problem: 'this training keeps no features',
    expected: 'a config with "cacheFeatures": true, of a hybrid with a frozen stem',
    got: 'cacheFeatures false',
  });
}

/** Undefined where `config` is none of a network, as `parseTrainConfig` says. */
function networkOf(config: unknown, cut: string | undefined, preset: string): Network | undefined {
  if (typeof config !== 'object' || config === null || !('kind' in config) || typeof config.kind !== 'string') return undefined;
  const network = config as TrainConfig['network'];
  return buildNetwork(cut === undefined ? network : networkCutAt(network, cut, preset), `${preset}: network`);
}

/** The head's weights are drawn as the trainer draws them; the stem's are taken. */
async function weightsWithStem(network: Network, { seed }: TrainConfig, stem: string): Promise<NamedArrays> {
  const drawn = initWeights(network, Random.seeded(seed).split('weights'));
  const { config, weights } = await readModel(stem);
  // of another kind of network the names of the weights say all
  return withStemWeights(network as Hybrid, drawn, weights, stem, config.kind === 'resnet' ? config : undefined);
}

function checkTakesStem({ config: { kind } }: Network, where: string): void {
  if (kind === 'hybrid') return;
  throw new CodaError({ kind: 'argument', where, problem: `a stem is for hybrids; this is a ${kind}`, hint: 'Leave it out.' });
}

/** As `withCut`, with errors in the words of who asked for the cut. */
function networkCutAt(network: TrainConfig['network'], cut: string, preset: string): JsonObject {
  if (network.kind !== 'hybrid') {
    throw new CodaError({
      kind: 'argument',
      where: preset,
      problem: 'not a hybrid, so there is no cut to move',
      got: `kind ${JSON.stringify(network.kind)}`,
    });
  }
  try {
    return withCut(network, cut) as unknown as JsonObject;
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    const { kind, problem, expected, got, hint } = error;
    throw new CodaError({ kind, where: `${preset}: cut ${JSON.stringify(cut)}`, problem, expected, got, hint, cause: error });
  }
}

function withValidationLimit(config: TrainConfig, limit: number | undefined): TrainConfig {
  if (limit === undefined) return config;
  if (config.validation.kind === 'test') return { ...config, validation: { kind: 'test', limit } };
  throw new CodaError({
    kind: 'argument',
    where: 'train: --validation-limit',
    problem:
      config.validation.kind === 'none'
        ? 'this training has no validation'
        : 'this training holds out images for validation, by their number',
    expected: 'a training whose validation is "test"; in a config file, validation.count',
    got: `validation ${JSON.stringify(config.validation.kind)}`,
  });
}

async function sourceOf(
  { preset, out, dataset, size, group, overrides: { epochs, batch, limit, classes } = {} }: TrainingChoice,
  stored: TrainConfig | undefined,
): Promise<TrainPreset> {
  if (preset === undefined) return { config: stored ?? (await configToResume(out)) };
  const source: TrainPreset = isConfigFile(preset)
    ? { config: (await readConfig(preset)) as unknown as TrainConfigInput }
    : trainPreset(preset);
  const { fitted } = source;
  if (fitted === undefined) {
    if (size === undefined) return source;
    throw new CodaError({
      kind: 'argument',
      where: 'train: --size',
      problem: `${preset} has its size`,
      expected: 'a preset for ImageNet (hybrid-resnet50-layer3-coda4 …); in a config file, "inputShape" of the backbone',
    });
  }
  // a run that goes on has its classes and its size
  const selected = classes ?? stored?.classes;
  const chosen = selected === undefined ? dataset : selectClasses(dataset, selected);
  const facts = {
    classes: chosen.classNames.length,
    trainImages: Math.min(limit ?? Infinity, chosen.split('train').length),
    size: size ?? storedSize(stored),
    epochs,
    batch,
    ranks: group?.size,
  };
  return { ...source, config: fitted(facts) };
}

function storedSize(stored: TrainConfig | undefined): number | undefined {
  const backbone = stored?.network['backbone'] as { readonly inputShape?: readonly number[] } | undefined;
  return backbone?.inputShape?.[0];
}

/** The trainer says the same of the config's keys; who gave `--limit` is told of that. */
function checkLimit(limit: number, { batch, validation }: TrainConfig): void {
  const heldOut = validation.kind === 'held-out' ? validation.count : 0;
  if (limit >= heldOut + batch) return;
  throw new CodaError({
    kind: 'argument',
    where: 'train: --limit',
    problem: `too few images for a batch of ${batch}${heldOut > 0 ? ` beside the ${heldOut} held out for validation` : ''}`,
    expected: `at least ${heldOut + batch}`,
    got: String(limit),
  });
}
