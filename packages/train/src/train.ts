/** The training loop: batches in, steps of one compiled function, checkpoints, validation, and a run folder that can be taken up again. */
import {
  CodaError,
  checkWeights,
  ndArray,
  Random,
  sameShape,
  type Compiled,
  type Engine,
  type JsonObject,
  type Model,
  type NamedArrays,
  type NdArray,
  type Network,
} from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { join } from 'node:path';
import { flip, flipAndCrop, noAugmentation } from './data/augmentation.ts';
import { assembleBatch } from './data/assemble-batch.ts';
import { BatchSampler, type SampledBatch } from './data/batch-sampler.ts';
import { holdOut, subset } from './data/hold-out.ts';
import type { ImageDataset, ImageSplit } from './data/image-dataset.ts';
import { evaluate, type Evaluation } from './evaluation.ts';
import { computeFeatures, type FrozenFeatures } from './frozen-features.ts';
import { optimiser as optimiserOf } from './optimisers.ts';
import { RunFolder, type TrainingState } from './run-folder.ts';
import { learningRateFactor } from './schedules.ts';
import type { TrainConfig } from './train-config.ts';
import { stepInputs, stepOutputs, trainingStep } from './training-step.ts';

export interface TrainOptions {
  readonly network: Network;
  /** The weights to start from: all of the network's. A resumed run takes the trained ones from its checkpoint. */
  readonly weights: NamedArrays;
  /** What the model files say beside config and weights. */
  readonly preprocessing: Model['preprocessing'];
  readonly provenance?: JsonObject;
  readonly dataset: ImageDataset;
  readonly engine: Engine;
  readonly config: TrainConfig;
  /** The run folder. */
  readonly out: string;
  /** Goes on with a run that is there; without it a run that is there is an error. */
  readonly resume?: boolean;
  readonly onEvent?: (event: TrainEvent) => void;
  /** Finishes the step, saves a checkpoint, and returns. */
  readonly signal?: AbortSignal;
}

export type TrainEvent =
  | { readonly type: 'features'; readonly split: 'train' | 'validation'; readonly done: number; readonly total: number }
  | { readonly type: 'start'; readonly step: number; readonly totalSteps: number; readonly stepsPerEpoch: number }
  | { readonly type: 'step'; readonly step: number; readonly epoch: number; readonly loss: number; readonly learningRate: number; readonly imagesPerSecond: number }
  | { readonly type: 'epoch'; readonly epoch: number; readonly trainLoss: number; readonly trainAccuracy: number; readonly validation: Evaluation | undefined }
  | { readonly type: 'checkpoint'; readonly step: number };

export interface TrainResult {
  readonly status: 'finished' | 'interrupted';
  readonly step: number;
  readonly totalSteps: number;
  /** Of training, over all sessions of the run; features and validation count. */
  readonly seconds: number;
  readonly weights: NamedArrays;
  /** `last.safetensors` */
  readonly modelFile: string;
}

/** Steps between two lines of metrics. */
const STEPS_PER_LINE = 50;

export async function train(options: TrainOptions): Promise<TrainResult> {
  const { network, engine, config, out, onEvent, signal } = options;
  checkWeights(network, options.weights, 'train: weights');
  const folder = new RunFolder(out);
  const started = performance.now();
  const checkpoint = await openRun(folder, config, options.resume === true);
  const { training, validation } = splitsOf(options.dataset, config);
  const optimiser = optimiserOf(config.optimiser);
  const { fn, signature } = trainingStep({ ...config, network, optimiser, onFeatures: config.cacheFeatures }, options.weights);
  const carried = checkpoint === undefined ? signature.carried : restored(signature.carried ?? {}, checkpoint.carried, out);
  const sampler = new BatchSampler({ length: training.length, batchSize: config.batchSize, seed: config.seed });
  const stepsPerEpoch = sampler.batchesPerEpoch;
  const totalSteps = config.epochs * stepsPerEpoch;
  let state: TrainingState = checkpoint?.state ?? { step: 0, sampler: sampler.state, epochLoss: 0, epochCorrect: 0, epochImages: 0, best: -1, seconds: 0 };
  sampler.restore(state.sampler);
  const secondsBefore = state.seconds;
  const secondsNow = (): number => secondsBefore + (performance.now() - started) / 1000;

  const compiled = await engine.compile(fn, carried === undefined ? signature : { ...signature, carried });
  const weightsNow = async (): Promise<NamedArrays> => currentWeights(network, options.weights, compiled);
  const saveModel = async (name: string, weights: NamedArrays): Promise<string> => {
    const file = join(out, name);
    const provenance: JsonObject = { ...options.provenance, training: config as unknown as JsonObject, step: state.step, engine: engine.description };
    await writeModel(file, { config: network.config, preprocessing: options.preprocessing, classNames: options.dataset.classNames, weights, provenance });
    return file;
  };
  const saveCheckpoint = async (): Promise<void> => {
    state = { ...state, seconds: secondsNow() };
    await folder.writeCheckpoint({ state, carried: await compiled.carried() });
    onEvent?.({ type: 'checkpoint', step: state.step });
  };

  try {
    const features = config.cacheFeatures ? await featuresOf(options, training, validation) : undefined;
    onEvent?.({ type: 'start', step: state.step, totalSteps, stepsPerEpoch });
    let lineStart = performance.now();
    while (state.step < totalSteps && signal?.aborted !== true) {
      const sampled = sampler.next();
      const epoch = sampled.epoch + 1;
      const learningRate = config.learningRate * learningRateFactor(config.schedule, { step: state.step, totalSteps, stepsPerEpoch });
      const scalars = Object.entries(optimiser.scalars(state.step + 1, learningRate)).map(
        ([name, x]) => [stepInputs.scalar(name), ndArray('float32', [], Float32Array.of(x))] as const,
      );
      const outputs = await compiled.run({ ...batchOf(sampled, training, config, features?.training), ...Object.fromEntries(scalars) });
      const loss = Number(outputs[stepOutputs.loss]?.data[0]);
      if (!Number.isFinite(loss)) throw diverged(state.step + 1, loss, learningRate, out);
      state = {
        ...state,
        step: state.step + 1,
        sampler: sampler.state,
        epochLoss: state.epochLoss + loss,
        epochCorrect: state.epochCorrect + Number(outputs[stepOutputs.correct]?.data[0]),
        epochImages: state.epochImages + config.batchSize,
      };
      if (state.step % STEPS_PER_LINE === 0 || sampled.endsEpoch) {
        const steps = state.step % STEPS_PER_LINE || STEPS_PER_LINE;
        const imagesPerSecond = (1000 * steps * config.batchSize) / (performance.now() - lineStart);
        await folder.appendMetrics({ kind: 'step', step: state.step, epoch, loss, learningRate, imagesPerSecond });
        lineStart = performance.now();
        onEvent?.({ type: 'step', step: state.step, epoch, loss, learningRate, imagesPerSecond });
      }
      if (sampled.endsEpoch) {
        const weights = await weightsNow();
        const evaluated = validation && (await evaluate(validation, { engine, network, weights, features: features?.validation, signal }));
        const trainLoss = (state.epochLoss * config.batchSize) / state.epochImages;
        const trainAccuracy = state.epochCorrect / state.epochImages;
        await folder.appendMetrics({
          kind: 'epoch', step: state.step, epoch, trainLoss, trainAccuracy,
          ...(evaluated && { validationLoss: evaluated.loss, validationAccuracy: evaluated.top1 }), seconds: secondsNow(),
        });
        await saveModel('last.safetensors', weights);
        if (evaluated !== undefined && evaluated.top1 > state.best) await saveModel('best.safetensors', weights);
        state = { ...state, epochLoss: 0, epochCorrect: 0, epochImages: 0, best: Math.max(state.best, evaluated?.top1 ?? -1) };
        onEvent?.({ type: 'epoch', epoch, trainLoss, trainAccuracy, validation: evaluated });
        lineStart = performance.now();
      }
      if (state.step % config.checkpointEverySteps === 0 || sampled.endsEpoch) await saveCheckpoint();
    }
    if (state.step < totalSteps) await saveCheckpoint();
    const weights = await weightsNow();
    const modelFile = await saveModel('last.safetensors', weights);
    return { status: state.step < totalSteps ? 'interrupted' : 'finished', step: state.step, totalSteps, seconds: secondsNow(), weights, modelFile };
  } finally {
    await compiled.dispose();
  }
}

/** Starts a new run or takes up the one that is there; the last checkpoint, if it has one. */
async function openRun(folder: RunFolder, config: TrainConfig, resume: boolean) {
  const before = await folder.config();
  const now = JSON.parse(JSON.stringify(config)) as JsonObject;
  if (before === undefined) {
    await folder.writeConfig(now);
    return undefined;
  }
  if (!resume) {
    throw new CodaError({
      kind: 'argument',
      where: folder.path,
      problem: 'a run is there already',
      hint: 'Go on with it by --resume, or choose another --out.',
    });
  }
  const changed = [...new Set([...Object.keys(before), ...Object.keys(now)])].find((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]));
  if (changed !== undefined) {
    throw new CodaError({
      kind: 'mismatch',
      where: `${folder.path}: config.json: ${changed}`,
      problem: 'a run is resumed with the config it was started with',
      expected: JSON.stringify(before[changed]) ?? 'nothing',
      got: JSON.stringify(now[changed]) ?? 'nothing',
    });
  }
  const checkpoint = await folder.lastCheckpoint();
  await folder.cutMetrics(checkpoint?.state.step ?? 0);
  return checkpoint;
}

function splitsOf(dataset: ImageDataset, config: TrainConfig): { training: ImageSplit; validation: ImageSplit | undefined } {
  const all = dataset.split('train');
  const limited = config.limit > 0 && config.limit < all.length ? subset(all, Array.from({ length: config.limit }, (_, i) => i)) : all;
  if (config.validation === 'none') return { training: limited, validation: undefined };
  if (config.validation === 'test') return { training: limited, validation: dataset.split('test') };
  const { rest, held } = holdOut(limited, config.validation, Random.seeded(config.seed).split('holdOut'));
  return { training: rest, validation: held };
}

async function featuresOf({ engine, network, weights, config, onEvent, signal }: TrainOptions, training: ImageSplit, validation: ImageSplit | undefined) {
  if (config.augmentation === 'flip-crop') {
    throw new CodaError({
      kind: 'argument',
      where: 'train: augmentation',
      problem: 'features of a frozen stem are computed once, so images cannot be cropped anew',
      expected: '"flip" or "none" with cacheFeatures',
      got: '"flip-crop"',
    });
  }
  const common = { engine, network, weights, precision: config.featurePrecision, signal };
  const progress = (split: 'train' | 'validation') => (done: number, total: number) => onEvent?.({ type: 'features', split, done, total });
  return {
    training: await computeFeatures(training, { ...common, mirrored: config.augmentation === 'flip', onProgress: progress('train') }),
    validation: validation && (await computeFeatures(validation, { ...common, mirrored: false, onProgress: progress('validation') })),
  };
}

function batchOf({ indices, random }: SampledBatch, split: ImageSplit, config: TrainConfig, features: FrozenFeatures | undefined): NamedArrays {
  if (features === undefined) {
    const augmentation = { none: noAugmentation, flip, 'flip-crop': flipAndCrop() }[config.augmentation];
    const { images, labels } = assembleBatch(split, indices, augmentation, random);
    return { [stepInputs.images]: images, [stepInputs.labels]: labels };
  }
  const mirrored = Array.from(indices, () => config.augmentation === 'flip' && random.uniform() < 0.5);
  const labels = ndArray('int32', [indices.length], Int32Array.from(indices, (index) => split.labels[index] as number));
  return { [stepInputs.images]: features.batch(indices, (i) => mirrored[i] === true), [stepInputs.labels]: labels };
}

async function currentWeights(network: Network, initial: NamedArrays, compiled: Compiled): Promise<NamedArrays> {
  const carried = await compiled.carried();
  return Object.fromEntries(Object.keys(network.weights).map((name) => [name, (carried[name] ?? initial[name]) as NdArray]));
}

function restored(expected: NamedArrays, carried: NamedArrays, out: string): NamedArrays {
  for (const [name, { shape }] of Object.entries(expected)) {
    const got = carried[name];
    if (got !== undefined && sameShape(got.shape, shape)) continue;
    throw new CodaError({
      kind: 'mismatch',
      where: `${out}: checkpoint: ${name}`,
      problem: 'the checkpoint is of another network or optimiser',
      expected: `[${shape.join(', ')}]`,
      got: got === undefined ? 'nothing' : `[${got.shape.join(', ')}]`,
    });
  }
  return Object.fromEntries(Object.keys(expected).map((name) => [name, carried[name] as NdArray]));
}

function diverged(step: number, loss: number, learningRate: number, out: string): CodaError {
  return new CodaError({
    kind: 'numeric',
    where: `train: step ${step}`,
    problem: `the loss is ${loss} at learning rate ${learningRate.toPrecision(3)}: the training diverged`,
    hint: `The last good checkpoint is in ${join(out, 'checkpoints')}. Start again with a lower learning rate.`,
  });
}
