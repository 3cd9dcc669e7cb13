/**
 * Trains a network on a data set in a run folder: epochs, validation, checkpoints, exact resume. What a step computes is `training-step.ts`,
 * where it is computed is the engine's business. The order of batches, their augmentation, the first weights and every rate depend on the
 * config alone, so an interrupted run ends in the same bits as an uninterrupted one on the same engine.
 */
import { join } from 'node:path';
import { CodaError, oneProcess, type Network, type ProcessGroup, type RankStatistics } from '@coda-nets/core';
import { BadImages } from './bad-images.ts';
import { checkRecipe } from './check-recipe.ts';
import { checkPlace, type Checkpoint } from './checkpoint.ts';
import { mixes, smoothingOf } from './data/augmentation.ts';
import { batchMaker, defaultWorkers, type BatchMaker } from './data/batch-maker.ts';
import { BatchSampler } from './data/batch-sampler.ts';
import { selectClasses } from './data/class-subset.ts';
import { withFolderLock } from './data/folder-lock.ts';
import { arraysFromFirstRank, fromFirstRank } from './from-first-rank.ts';
import { compileGroupedStep } from './grouped-step.ts';
import { keptFeatures, type KeptFeatures } from './kept-features.ts';
import { makeFolder } from './make-folder.ts';
import { matchesPattern } from './name-patterns.ts';
import { optimiser } from './optimisers.ts';
import { rankStatistics } from './rank-statistics.ts';
import { checkRunFolder, createRunFolder, openRunFolder, refuseRun, silentRunFolder, storeConfig, type RunFolder } from './run-folder.ts';
import { withEpochs } from './run-length.ts';
import { RunWriter } from './run-writer.ts';
import { sharedConfig } from './shared-config.ts';
import { StepClock } from './step-clock.ts';
import { parseTrainConfig, type TrainConfig } from './train-config.ts';
import type { TrainOptions, TrainResult } from './train-options.ts';
import {
  checkCacheFeatures,
  checkCheckpoint,
  checkDataset,
  checkSlots,
  firstWeights,
  lastCheckpoint,
  splits,
  type Splits,
} from './train-start.ts';
import { trainingLoop } from './training-loop.ts';
import { firstState, isDone, resultOf, tellStart, type TrainingRun } from './training-run.ts';
import { trainingStep, type TrainingStep } from './training-step.ts';
import { averagedWeights } from './weight-average.ts';

/**
 * @throws CodaError `argument` for a bad config, a folder that holds a run already (or, with `resume`, none, or one of another config or other images);
 * `mismatch` for data or weights that do not fit; `numeric` where the loss or a weight stops being a finite number: the last checkpoint before that stays.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { network, out, resume = false, onEvent } = options;
  const config = parseTrainConfig({ ...options.config, network: network.config });
  const dataset = config.classes === undefined ? options.dataset : selectClasses(options.dataset, config.classes);
  checkDataset(network, dataset);
  const { group = oneProcess } = options;
  // a run that goes on was checked with the ranks it was begun with, which its checkpoint knows
  const shared = resume ? config : sharedConfig(config, group.size, group).config;
  const split = splits(shared, dataset);
  checkCacheFeatures(network, config);
  checkRecipe(network, shared, split);
  const own = { ...withGroupEvents(options, group), dataset, config };
  if (group.rank > 0)
    return withMaker(own, config, split, (maker) => runTraining(own, config, split, maker, async () => silentRunFolder(out), undefined));
  // a lock needs its folder; whether there is a run in it is asked again where nobody else can make one
  if (resume) await checkRunFolder(out, config);
  await makeFolder(out);
  const inUse = (): never => {
    throw new CodaError({
      kind: 'unavailable',
      where: out,
      problem: 'another process is training in this folder',
      hint: `Where you know that none is, delete ${join(out, '.lock')}.`,
    });
  };
  return withFolderLock(
    out,
    async () => {
      const folderOf = join(out, 'checkpoints');
      if (resume) await checkRunFolder(out, config);
      else await refuseRun(out);
      const checkpoint = resume ? await lastCheckpoint(folderOf, onEvent) : undefined;
      if (resume && checkpoint === undefined)
        onEvent?.({ type: 'notice', message: `There is no checkpoint in ${out} yet: starting from the beginning.` });
      if (checkpoint !== undefined)
        checkCheckpoint(checkpoint, { config, network, split: split.train, engine: options.engine, folder: folderOf, onEvent });
      const openRun = async (): Promise<RunFolder> => {
        // a run keeps what may change as it was changed last
        await (resume ? storeConfig(out, config) : createRunFolder(out, config));
        const notice = (message: string): void => onEvent?.({ type: 'notice', message });
        return openRunFolder(out, checkpoint?.state ?? { step: 0, epochEndPending: false }, notice);
      };
      const result = await withMaker(own, config, split, (maker) => runTraining(own, config, split, maker, openRun, checkpoint));
      // also of a run that had nothing left to do
      if (resume) await storeConfig(out, config);
      return result;
    },
    { onWait: inUse },
  );
}

/** Rank 0 tells of what all do; of an image that cannot be read tells who has met it. */
function withGroupEvents(options: TrainOptions, group: ProcessGroup): TrainOptions {
  const { onEvent } = options;
  if (group.rank === 0 || onEvent === undefined) return options;
  return { ...options, onEvent: (event) => event.type === 'bad-image' && onEvent(event) };
}

async function withMaker<T>(
  options: TrainOptions,
  config: TrainConfig,
  { train: split }: Splits,
  work: (maker: BatchMaker) => Promise<T>,
): Promise<T> {
  const isSimple = split.kind === 'pixels' && config.augmentation.kind !== 'recipe';
  const maker = batchMaker(options.workers ?? (isSimple ? 0 : defaultWorkers()));
  try {
    return await work(maker);
  } finally {
    await maker.dispose();
  }
}

/** `openRun` is called when weights, optimiser and compiled step are there: a call that cannot work leaves no run behind. */
async function runTraining(
  given: TrainOptions,
  ownConfig: TrainConfig,
  parts: Splits,
  maker: BatchMaker,
  openRun: () => Promise<RunFolder>,
  ofFirstRank: Checkpoint | undefined,
): Promise<TrainResult> {
  const { network, engine, group = oneProcess } = given;
  const isFirst = group.rank === 0;
  const found = await fromFirstRank(group, ofFirstRank?.state ?? null, 'state of the run');
  const weightsOfFirst = isFirst ? (ofFirstRank?.weights ?? (await firstWeights(given, ownConfig))) : {};
  const weights = await arraysFromFirstRank(group, weightsOfFirst, 'weights');
  const slotsOfFirst = await arraysFromFirstRank(group, ofFirstRank?.slots ?? {}, 'slots of the optimiser');
  const checkpoint = found === null ? undefined : { state: found, weights, slots: slotsOfFirst };
  const { config, batchOfRank } = sharedConfig(ownConfig, found?.ranks ?? group.size, group);
  const stop = new AbortController();
  const options = group.size === 1 ? given : { ...given, signal: stop.signal };
  const step = stepOf(network, { ...config, batch: batchOfRank }, rankStatistics(config, engine, group));
  const firstSlots = step.firstSlots(weights);
  if (checkpoint !== undefined) checkSlots(checkpoint, firstSlots, join(given.out, 'checkpoints'));
  const slots = checkpoint?.slots ?? firstSlots;
  const run = makeRun(options, config, parts, maker, checkpoint);
  tellStart(run);
  if (isDone(run)) return resultOf(run, averagedWeights(weights, slots));

  options.onEvent?.({ type: 'compile' });
  const compiled =
    group.size === 1
      ? await engine.compile(step.fn, step.signature(weights, slots))
      : await compileGroupedStep({
          engine,
          network,
          step,
          weights,
          slots,
          group,
          accumulate: config.accumulate,
          wantsToStop: () => given.signal?.aborted === true,
          onStop: () => stop.abort(),
        });
  let folder: RunFolder | undefined;
  let features: KeptFeatures | undefined;
  try {
    folder = await openRun();
    const writer = new RunWriter(run, folder, compiled, { weights, slots }, checkpoint?.state.step ?? -1);
    features = await keptFeatures(run, weights, given.signal);
    // where features are made nothing was trained yet: there is nothing to save
    if (features === undefined) return resultOf(run, averagedWeights(weights, slots));
    await writer.noteAllBad(features.train?.bad);
    await writer.noteAllBad(features.validation?.bad);
    return await trainingLoop(run, { step, compiled, writer, features });
  } catch (error) {
    // what failed before its first step (an engine without a kernel, a loss that is NaN at once) is no run to go on with
    if (options.resume !== true && run.state.step === 0) await folder?.discard();
    throw error;
  } finally {
    await features?.close();
    await folder?.close();
    await compiled.dispose();
  }
}

/** What a config asks of a step. */
function stepOf(network: Network, config: TrainConfig, ranks: RankStatistics | undefined): TrainingStep {
  const decays = (name: string): boolean => network.weights[name]?.decay === true;
  const rateOf = (name: string): number => config.groups.find(({ names }) => matchesPattern(name, names))?.rate ?? 1;
  return trainingStep({
    network,
    optimiser: optimiser(config.optimiser, { weightDecay: config.weightDecay, decays, rateOf }),
    batchSize: config.batch,
    input: config.cacheFeatures ? 'features' : 'images',
    mixed: mixes(config.augmentation),
    labelSmoothing: smoothingOf(config.augmentation),
    stochasticDepth: config.stochasticDepth > 0,
    accumulate: config.accumulate,
    clip: config.clip,
    average: config.ema,
    ranks,
    ...(config.linearMapPenalty === undefined ? {} : { linearMapPenalty: config.linearMapPenalty }),
  });
}

function makeRun(
  options: TrainOptions,
  config: TrainConfig,
  parts: Splits,
  maker: BatchMaker,
  checkpoint: Checkpoint | undefined,
): TrainingRun {
  const { train: split } = parts;
  const { batch, seed, accumulate } = config;
  const sampler = new BatchSampler({ length: split.length, batchSize: batch, seed, order: split.order, batchesAtOnce: accumulate });
  // an epoch of no step would be a run that is finished at once
  if (sampler.batchesPerEpoch === 0) {
    throw new CodaError({
      kind: 'argument',
      where: 'train: config: batch',
      problem: 'there are too few training images for one update of all processes',
      expected: `at least ${batch * accumulate} images`,
      got: String(split.length),
    });
  }
  if (checkpoint !== undefined) {
    sampler.restore(checkpoint.state.sampler);
    checkPlace(checkpoint.state, batch, sampler.batchesPerEpoch, join(options.out, 'checkpoints'));
  }
  const before = checkpoint?.state ?? firstState({ splits: parts, options, config, sampler });
  const state = { ...withEpochs(before, config.epochs, sampler.batchesPerEpoch), config: { ...options.config } };
  const [height, width] = options.network.inputShape;
  return {
    options,
    config,
    splits: parts,
    maker,
    recipe: { size: [height, width], resize: config.resize, augmentation: config.augmentation },
    sampler,
    totalSteps: config.epochs * sampler.batchesPerEpoch,
    badImages: new BadImages(config.maxBad, state.bad),
    clock: new StepClock(state.seconds),
    state,
  };
}
