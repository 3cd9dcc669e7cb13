/**
 * Trains a network on a data set in a run folder: epochs, validation, checkpoints, exact resume. What a step computes is `training-step.ts`,
 * where it is computed is the engine's business. The order of batches, their augmentation, the first weights and every rate depend on the
 * config alone, so an interrupted run ends in the same bits as an uninterrupted one on the same engine.
 */
import { join } from 'node:path';
import { CodaError, sizeOf, type NamedArrays } from '@coda-nets/core';
import { carriedValues, notFinite } from './carried-values.ts';
import { listCheckpoints, writeCheckpoint, type Checkpoint, type CheckpointState } from './checkpoint.ts';
import { BadImages } from './bad-images.ts';
import { mixes, smoothingOf } from './data/augmentation.ts';
import { batchMaker, defaultWorkers, type BatchMaker } from './data/batch-maker.ts';
import { BatchSampler } from './data/batch-sampler.ts';
import { selectClasses } from './data/class-subset.ts';
import { withFolderLock } from './data/folder-lock.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import type { MadeBatch } from './data/make-batch.ts';
import { measureEpoch, type EpochContext } from './measure-epoch.ts';
import { computeFeatures, type Features } from './frozen-features.ts';
import { initialSlots, optimiser } from './optimisers.ts';
import { checkRunFolder, createRunFolder, makeFolder, openRunFolder, refuseRun, type RunFolder } from './run-folder.ts';
import { writeRunModel } from './run-model.ts';
import { learningRateAt } from './schedules.ts';
import { parseTrainConfig, type TrainConfig } from './train-config.ts';
import type { TrainOptions, TrainResult } from './train-options.ts';
import { copiesOf, trainingBatches, type BatchSource } from './training-batches.ts';
import { checkCacheFeatures, checkCheckpoint, checkDataset, firstWeights, lastCheckpoint, splits, type Splits } from './train-start.ts';
import { trainingStep } from './training-step.ts';

/**
 * @throws CodaError `argument` for a bad config, a folder that holds a run already (or none, with `resume`); `mismatch` for data or weights
 * that do not fit; `numeric` where the loss or a weight stops being a finite number: the last checkpoint before that stays.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { network, out, resume = false, onEvent } = options;
  const config = parseTrainConfig({ ...options.config, network: network.config });
  const dataset = config.classes === undefined ? options.dataset : selectClasses(options.dataset, config.classes);
  checkDataset(network, dataset);
  const split = splits(config, dataset);
  checkCacheFeatures(network, config);
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
      if (resume) await checkRunFolder(out, config);
      else await refuseRun(out);
      const folderOf = join(out, 'checkpoints');
      const checkpoint = resume ? await lastCheckpoint(folderOf, onEvent) : undefined;
      if (checkpoint !== undefined) checkCheckpoint(checkpoint, network, split.train, options.engine, folderOf, onEvent);
      const openRun = async (): Promise<RunFolder> => {
        if (!resume) await createRunFolder(out, config);
        return openRunFolder(out, checkpoint?.state ?? { step: 0, epochEndPending: false });
      };
      const isSimple = split.train.kind === 'pixels' && config.augmentation.kind !== 'recipe';
      const maker = batchMaker(options.workers ?? (isSimple ? 0 : defaultWorkers()));
      try {
        return await runTraining({ ...options, dataset }, config, split, maker, openRun, checkpoint);
      } finally {
        await maker.dispose();
      }
    },
    { onWait: inUse },
  );
}

/** `openRun` is called when weights, optimiser and compiled step are there: a call that cannot work leaves no run behind. */
async function runTraining(
  options: TrainOptions,
  config: TrainConfig,
  { train: trainSplit, validation: validationSplit }: Splits,
  maker: BatchMaker,
  openRun: () => Promise<RunFolder>,
  checkpoint: Checkpoint | undefined,
): Promise<TrainResult> {
  const { network, dataset, engine, featureCacheFolder, onEvent, signal } = options;
  const aborted = (): boolean => signal?.aborted === true;
  const startWeights = checkpoint?.weights ?? (await firstWeights(options, config));
  const decays = (name: string): boolean => network.weights[name]?.decay === true;
  const optimise = optimiser(config.optimiser, { weightDecay: config.weightDecay, decays });
  const startSlots = checkpoint?.slots ?? initialSlots(optimise, network.weights);
  const sampler = new BatchSampler({ length: trainSplit.length, batchSize: config.batch, seed: config.seed, order: trainSplit.order });
  if (checkpoint !== undefined) sampler.restore(checkpoint.state.sampler);
  const totalSteps = config.epochs * sampler.batchesPerEpoch;

  let state: CheckpointState = checkpoint?.state ?? {
    version: 1,
    step: 0,
    seed: config.seed,
    sampler: sampler.state,
    epochEndPending: false,
    interval: noSums,
    epoch: noSums,
    best: null,
    validation: null,
    seconds: 0,
    dataFingerprint: trainSplit.fingerprint,
    bad: [],
    engine: engine.name,
  };
  const badImages = new BadImages(config.maxBad, state.bad);
  const [height, width] = network.inputShape;
  const recipe = { size: [height, width] as const, resize: config.resize, augmentation: config.augmentation };
  let waited = 0;
  let worked = 0;
  const started = performance.now();
  const secondsBefore = state.seconds;
  const secondsNow = (): number => secondsBefore + (performance.now() - started) / 1000;
  const numbersOf = (frozen: boolean): number =>
    Object.values(network.weights)
      .filter(({ role }) => role === (frozen ? 'frozen' : 'parameter'))
      .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  onEvent?.({
    type: 'start',
    step: state.step,
    totalSteps,
    epochs: config.epochs,
    trainImages: trainSplit.length,
    validationImages: validationSplit?.length ?? 0,
    parameters: numbersOf(false),
    frozen: numbersOf(true),
    engine: engine.description,
  });
  const result = (weights: NamedArrays): TrainResult => ({
    finished: state.step === totalSteps && !state.epochEndPending,
    step: state.step,
    totalSteps,
    weights,
    validation: state.validation ?? undefined,
    best: state.best ?? undefined,
    seconds: secondsNow(),
    bad: badImages.list,
    waiting: worked === 0 ? 0 : waited / worked,
  });
  if (state.step === totalSteps && !state.epochEndPending) return result(startWeights);

  const step = trainingStep({
    network,
    optimiser: optimise,
    batchSize: config.batch,
    input: config.cacheFeatures ? 'features' : 'images',
    mixed: mixes(config.augmentation),
    labelSmoothing: smoothingOf(config.augmentation),
    ...(config.linearMapPenalty === undefined ? {} : { linearMapPenalty: config.linearMapPenalty }),
  });
  const compiled = await engine.compile(step.fn, step.signature(startWeights, startSlots));
  let opened: RunFolder | undefined;
  let trainFeatures: Features | undefined;
  let validationFeatures: Features | undefined;
  try {
    const run = (opened = await openRun());
    /** Tells of images that were not told of before. Throws where there are too many. */
    const note = async (batch: Pick<MadeBatch, 'bad' | 'labels'>, step: number): Promise<void> => {
      if (batch.bad.length === 0) return;
      for (const { file, reason } of badImages.add(batch)) {
        await run.log({ type: 'bad-image', step, file, reason });
        onEvent?.({ type: 'bad-image', file, reason, count: badImages.count });
      }
    };
    const noteAll = (bad: MadeBatch['bad'] | undefined): Promise<void> => note({ bad: bad ?? [], labels: new Int32Array(0) }, state.step);
    if (config.cacheFeatures) {
      const compute = (split: ImageSplit, name: 'train' | 'validation'): Promise<Features | undefined> =>
        computeFeatures({
          engine,
          network,
          weights: startWeights,
          split,
          precision: config.featurePrecision,
          copies: name === 'train' ? copiesOf(config.augmentation, config.featureCopies) : ['none'],
          ...recipe,
          seed: config.seed,
          maker,
          onProgress: (done, total) => onEvent?.({ type: 'features', split: name, done, total }),
          ...(featureCacheFolder === undefined ? {} : { cacheFolder: featureCacheFolder }),
          ...(signal === undefined ? {} : { signal }),
        });
      trainFeatures = await compute(trainSplit, 'train');
      if (validationSplit !== undefined && !aborted()) validationFeatures = await compute(validationSplit, 'validation');
      await noteAll(trainFeatures?.bad);
      await noteAll(validationFeatures?.bad);
      // nothing was trained yet: there is nothing to save
      if (aborted()) return result(startWeights);
    }

    const source: BatchSource = {
      sampler,
      split: trainSplit,
      recipe,
      maker,
      features: trainFeatures,
      penalty: config.linearMapPenalty && { perImage: config.linearMapPenalty.classes, of: network.classes },
    };
    let lastSave = performance.now();
    let current: { weights: NamedArrays; slots: NamedArrays } | undefined;
    /** The weights and slots as they are now; fetched once a step. Throws where one is not finite. */
    const values = async (): Promise<{ weights: NamedArrays; slots: NamedArrays }> =>
      (current ??= await carriedValues(compiled, startWeights, startSlots, state.step, run));
    const save = async (): Promise<void> => {
      const { weights, slots } = await values();
      await run.flush();
      const path = await writeCheckpoint(run.checkpoints, {
        state: { ...state, bad: badImages.list.map(([file, reason]) => [file, reason]), seconds: secondsNow() },
        weights,
        slots,
      });
      lastSave = performance.now();
      onEvent?.({ type: 'checkpoint', step: state.step, path });
    };
    const saveModel = (path: string, weights: NamedArrays): Promise<void> =>
      writeRunModel(path, weights, { network, dataset, engine, config, state, preprocessing: options.preprocessing });

    const context: EpochContext = {
      network,
      engine,
      config,
      maker,
      recipe,
      signal,
      onEvent,
      batchesPerEpoch: sampler.batchesPerEpoch,
      train: { split: trainSplit, features: trainFeatures },
      validation: validationSplit && { split: validationSplit, features: validationFeatures },
      noteBad: noteAll,
    };
    /** Validation, the epoch's line, the models, a checkpoint. False where it was ended early: it is then done on resume. */
    const endEpoch = async (): Promise<boolean> => {
      const { weights } = await values();
      const measured = await measureEpoch(context, state, weights);
      if (measured === undefined) return false;
      const { epoch, score, isBest, validation, alignment, training } = measured;
      state = {
        ...state,
        epochEndPending: false,
        epoch: noSums,
        best: isBest && score !== undefined ? { epoch, score } : state.best,
        validation: validation === undefined ? state.validation : { loss: validation.loss, top1: validation.top1, top5: validation.top5 },
      };
      await run.log({
        type: 'epoch',
        step: state.step,
        epoch,
        ...training,
        ...(validation && { validationLoss: validation.loss, validationAccuracy: validation.top1, validationTop5: validation.top5 }),
        ...(alignment && { alignment }),
        seconds: round(secondsNow()),
      });
      await options.atEpochEnd?.({ epoch, step: state.step, weights, split: validationSplit ?? trainSplit, run });
      if (isBest) await saveModel(run.best, weights);
      await saveModel(run.last, weights);
      await save();
      onEvent?.({ type: 'epoch', epoch, epochs: config.epochs, step: state.step, ...training, validation, alignment, isBest });
      return true;
    };

    let savedStep = checkpoint?.state.step ?? -1;
    const batches = trainingBatches(source, totalSteps - state.step);
    let rate = 0;
    let lastLog = performance.now();
    for (;;) {
      if (state.epochEndPending) {
        if (!(await endEpoch())) break;
        savedStep = state.step;
        lastLog = performance.now();
      }
      if (state.step === totalSteps || aborted()) break;
      const begin = performance.now();
      const batch = await batches.next();
      if (batch === undefined) break;
      await note(batch, state.step + 1);
      waited += performance.now() - begin;
      const learningRate = learningRateAt(config.schedule, config.learningRate, state.step, totalSteps);
      current = undefined;
      const running = compiled.run({ ...batch.inputs, ...step.scalars({ learningRate, step: state.step + 1 }) });
      // beside the engine's work, where the engine works beside
      batches.prepare();
      const output = await running;
      const loss = output['loss']?.data[0] as number;
      const correct = output['correct']?.data[0] as number;
      const penalty = output['penalty']?.data[0] as number | undefined;
      const total = loss + (config.linearMapPenalty?.weight ?? 0) * (penalty ?? 0);
      if (!Number.isFinite(total)) throw notFinite(run, state.step + 1, `the loss became ${total}`, await listCheckpoints(run.checkpoints));
      state = {
        ...state,
        step: state.step + 1,
        sampler: batch.samplerAfter,
        epochEndPending: batch.endsEpoch,
        interval: added(state.interval, { loss, correct, penalty: penalty ?? 0 }),
        epoch: added(state.epoch, { loss, correct, penalty: penalty ?? 0 }),
      };
      const now = performance.now();
      worked += now - begin;
      const speed = config.batch / ((now - begin) / 1000);
      rate = rate === 0 ? speed : rate + 0.05 * (speed - rate);
      onEvent?.({
        type: 'step',
        step: state.step,
        totalSteps,
        epoch: batch.epoch + 1,
        loss,
        ...(penalty === undefined ? {} : { penalty }),
        accuracy: correct / config.batch,
        learningRate,
        imagesPerSecond: rate,
        waiting: waited / worked,
        etaSeconds: ((totalSteps - state.step) * config.batch) / rate,
      });
      if (state.step % config.logEverySteps === 0) {
        const { interval } = state;
        await run.log({
          type: 'step',
          step: state.step,
          epoch: batch.epoch + 1,
          loss: interval.loss / interval.steps,
          ...(penalty === undefined ? {} : { penalty: interval.penalty / interval.steps }),
          accuracy: interval.correct / (interval.steps * config.batch),
          learningRate,
          imagesPerSecond: round((interval.steps * config.batch) / ((now - lastLog) / 1000)),
          waiting: round(waited / worked),
          seconds: round(secondsNow()),
        });
        lastLog = now;
        state = { ...state, interval: noSums };
      }
      const dueBySteps = config.checkpointEverySteps !== undefined && state.step % config.checkpointEverySteps === 0;
      const dueByTime = now - lastSave > config.checkpointEverySeconds * 1000;
      if (!state.epochEndPending && (dueBySteps || dueByTime)) {
        await save();
        savedStep = state.step;
      }
    }
    const { weights } = await values();
    if (aborted() && state.step !== savedStep) {
      await saveModel(run.last, weights);
      await save();
    }
    return result(weights);
  } catch (error) {
    // what failed before its first step (an engine without a kernel, a loss that is NaN at once) is no run to go on with
    if (options.resume !== true && state.step === 0) await opened?.discard();
    throw error;
  } finally {
    await trainFeatures?.close();
    await validationFeatures?.close();
    await opened?.close();
    await compiled.dispose();
  }
}

type Sums = CheckpointState['epoch'];

const noSums: Sums = { steps: 0, loss: 0, correct: 0, penalty: 0 };

function added(sums: Sums, { loss, correct, penalty }: Omit<Sums, 'steps'>): Sums {
  return { steps: sums.steps + 1, loss: sums.loss + loss, correct: sums.correct + correct, penalty: sums.penalty + penalty };
}

function round(x: number): number {
  return Math.round(x * 1000) / 1000;
}
