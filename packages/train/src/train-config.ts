/** Everything a training run is made of, as JSON. Which keys there are, their defaults, their limits; runs nothing. */
import * as v from 'valibot';
import { parseConfig, type JsonObject } from '@coda-nets/core';
import { configValueMistakes } from './config-values.ts';
import { metricNames } from './metrics.ts';
import { averageSchema, clipSchema, groupSchema, optimiserSchema, scheduleSchema } from './update-config.ts';

const count = (least: number, most: number) => v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const positiveShare = v.pipe(v.number(), v.gtValue(0), v.maxValue(1));
const belowOne = v.pipe(v.number(), v.minValue(0), v.ltValue(1));

/** More than any published run; beyond it is a typing error. */
const maxEpochs = 100_000;
/** Images of a batch: 65,536 images of 32 × 32 are 800 MB. */
const maxBatch = 65_536;
const maxSteps = 2 ** 31;
const maxClasses = 65_536;
/** Batches in an update: more would be a data set. */
const maxAccumulate = 65_536;
/** Of these a forward pass is made at once. */
const maxAlignmentImages = 4096;

/** Least and most, both in a range. */
const span = <Entry extends typeof positive | typeof share | typeof positiveShare>(entry: Entry) =>
  v.pipe(
    v.tuple([entry, entry]),
    v.check(([least, most]) => least <= most, 'the first is larger than the second'),
  );
/** The share of a photograph, and width to height, that ImageNet's training crops have had since arXiv 1409.4842. */
const randomResized = v.strictObject({
  kind: v.literal('random-resized'),
  scale: v.optional(span(positiveShare), [0.08, 1]),
  ratio: v.optional(span(positive), [3 / 4, 4 / 3]),
});
const recipeSchema = v.strictObject({
  kind: v.literal('recipe'),
  /** How a training image gets the network's size; default as in evaluation: scaled to `resize`, and the middle. */
  crop: v.exactOptional(
    v.variant('kind', [
      v.strictObject({ kind: v.literal('centre') }),
      v.strictObject({ kind: v.literal('random'), pad: v.optional(count(0, 1024), 0) }),
      randomResized,
    ]),
  ),
  flip: v.optional(v.boolean(), false),
  policy: v.exactOptional(
    v.variant('kind', [
      // arXiv 2109.13004, section 4: two operations at 10 of 30
      v.strictObject({
        kind: v.literal('rand-augment'),
        operations: v.optional(count(1, 16), 2),
        magnitude: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(30)), 10),
      }),
      v.strictObject({ kind: v.literal('trivial-augment') }),
    ]),
  ),
  /** Random erasing; the defaults are those of arXiv 1708.04896, section 4.2. */
  erase: v.exactOptional(
    v.strictObject({
      probability: v.optional(share, 0.5),
      area: v.optional(span(share), [0.02, 0.4]),
      ratio: v.optional(span(positive), [0.3, 10 / 3]),
      fill: v.optional(v.picklist(['black', 'noise']), 'noise'),
    }),
  ),
  /** α of mixup, of CutMix; 0: none. */
  mixup: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0)), 0),
  cutmix: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0)), 0),
  labelSmoothing: v.optional(belowOne, 0),
});

const augmentationSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('none') }),
  v.strictObject({ kind: v.literal('flip') }),
  v.strictObject({ kind: v.literal('flip-and-crop'), pad: v.optional(count(0, 1024), 4) }),
  recipeSchema,
]);

const validationSchema = v.variant('kind', [
  v.strictObject({ kind: v.literal('none') }),
  v.strictObject({ kind: v.literal('held-out'), count: count(1, 1_000_000_000) }),
  // the first images of a folder would be of one class: these are spread evenly
  v.strictObject({ kind: v.literal('test'), limit: v.exactOptional(count(1, 1_000_000_000)) }),
]);

export const trainConfigSchema = v.strictObject({
  /** The network's config; `kind` names its builder. Not looked into here. */
  network: v.looseObject({ kind: v.string() }),
  /** The data set, for people and for running it again: the command takes it where `--data` says no other. */
  data: v.exactOptional(v.string()),
  /** May be another number where a run goes on: its schedule is then that of the new number. */
  epochs: count(1, maxEpochs),
  /** The last, smaller batch of an epoch is left out. */
  batch: v.optional(count(1, maxBatch), 64),
  /**
   * Of many processes (`mpirun`) each takes `batch` images a step: R of them see R × `batch`. `linear`: η is then R times `learningRate` (arXiv 1706.02677,
   * section 2.1; take a warm-up with it). R: the processes a run is begun with.
   */
  scaleLearningRate: v.optional(v.picklist(['none', 'linear']), 'none'),
  /**
   * Of many processes: whether trained batch norms use the mean and variance of all images of a step, as one process would, or each process those of its own
   * ("ghost" batch norm, arXiv 1705.08741). Running statistics are those of all images either way.
   */
  syncBatchNorm: v.optional(v.boolean(), true),
  optimiser: v.optional(optimiserSchema, { kind: 'adam' }),
  /** The peak of the schedule. */
  learningRate: v.pipe(v.number(), v.finite(), v.minValue(0)),
  schedule: v.optional(scheduleSchema, { kind: 'constant' }),
  /** λ, for weights that decay (no biases, no norms). */
  weightDecay: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0)), 0),
  /** Gradients that are too long are made shorter (see `clipGradients`). */
  clip: v.exactOptional(clipSchema),
  /** Weights that learn at another rate: of the first group whose pattern matches a weight's name, `rate` times η. A stem of its own rate is `stem.*`. */
  groups: v.optional(v.pipe(v.array(groupSchema), v.maxLength(1000)), []),
  /** k: weights are updated with the mean gradient of k batches, as if a batch had k times as many images. Steps are batches. */
  accumulate: v.optional(count(1, maxAccumulate), 1),
  /** The moving average of weights and statistics: measured and written in their place, checkpoints have both. */
  ema: v.exactOptional(averageSchema),
  /** 1 − p_L: how often the last residual branch is left out, and those below it in proportion (arXiv 1603.09382). */
  stochasticDepth: v.optional(belowOne, 0),
  augmentation: v.optional(augmentationSchema, { kind: 'none' }),
  /** Pixels of an image's shorter side before the network's size is cut out; where not given, as few as cover it. Of images in files. */
  resize: v.exactOptional(count(1, 16_384)),
  /** Trains on the first so many classes, or on those of these names, ids or numbers, in that order. */
  classes: v.exactOptional(v.union([count(1, maxClasses), v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(maxClasses))])),
  /** The run stops when more images than this could not be read; before that, each is told of, and others take their place. */
  maxBad: v.optional(count(0, 1_000_000_000), 100),
  /**
   * Adds λ·mean |[W]_c| to the loss (`linearMapPenalty` of core; arXiv 2109.13004): `weight` is λ, and c runs over `classes` classes of each image, the
   * true one and others drawn by the seed. W is the linear map of the network's dynamic linear part, of a hybrid from its cut on; it includes 1/T.
   */
  linearMapPenalty: v.exactOptional(v.strictObject({ weight: positive, classes: count(1, maxClasses) })),
  /**
   * What is measured after every epoch, and what `best.safetensors` is chosen by. `held-out`: so many training images, chosen by the seed and
   * not trained on. `test`: the test split itself, or `limit` images of it, evenly spread: the curve is honest, but the best epoch's figure is chosen on the test split and so
   * optimistic; report the last epoch's. `none`: best is the epoch of the lowest training loss.
   */
  validation: v.optional(validationSchema, { kind: 'none' }),
  /**
   * What the best epoch is best in: a key of an epoch's line in metrics.jsonl; losses are better where they are lower. Default `validationAccuracy`, without
   * validation `trainLoss`.
   */
  bestBy: v.exactOptional(v.picklist(metricNames)),
  /** Ends the run where so many measured epochs in a row brought no new best in `metric`, whose default is that of `bestBy`. */
  earlyStop: v.exactOptional(v.strictObject({ patience: count(1, maxEpochs), metric: v.exactOptional(v.picklist(metricNames)) })),
  /**
   * Ends the run where the mean loss of the last `steps` steps is `factor` times the lowest such mean so far, which counts as `floor` where it is lower. A loss that is not
   * finite ends it always.
   */
  divergence: v.exactOptional(
    v.strictObject({
      factor: v.optional(v.pipe(v.number(), v.finite(), v.gtValue(1)), 10),
      steps: v.optional(count(1, maxSteps), 100),
      floor: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0)), 0.01),
    }),
  ),
  /** Epochs between two validations; the last epoch is always validated. */
  validateEvery: v.optional(count(1, maxEpochs), 1),
  /**
   * Where a validation is due, ‖w‖ and cos ∠(w, x) of every dynamic linear layer are measured on so many images: the first of the validation images,
   * or of the training images where there are none. 0: never.
   */
  alignmentImages: v.optional(count(0, maxAlignmentImages), 16),
  seed: v.optional(count(0, 0xffff_ffff), 0),
  /** Only so many training images, evenly spread. */
  limit: v.exactOptional(count(1, 1_000_000_000)),
  /** Computes the frozen stem's features once and trains on them. */
  cacheFeatures: v.optional(v.boolean(), false),
  /** How they are kept: `float16` takes half the memory and rounds each feature by up to 2⁻¹¹ of itself. */
  featurePrecision: v.optional(v.picklist(['float32', 'float16']), 'float32'),
  /** Drawn copies of each image that features are kept of, where the augmentation is none of a few; a step gets one of them, drawn. */
  featureCopies: v.optional(count(0, 1000), 0),
  checkpointEverySeconds: v.optional(positive, 120),
  checkpointEverySteps: v.exactOptional(count(1, maxSteps)),
  /** Steps between two lines of metrics.jsonl. */
  logEverySteps: v.optional(count(1, maxSteps), 20),
  /** A model file whose weights of the same names the run starts from. */
  initFrom: v.exactOptional(v.string()),
  /**
   * The model file that a hybrid's stem was taken from, which `coda train` takes it from again; `shipped:…` comes along with the command. Not read by `train`,
   * which wants its weights as `initialWeights`.
   */
  stem: v.exactOptional(
    v.strictObject({
      path: v.string(),
      sha256: v.exactOptional(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'not 64 hexadecimal digits'))),
    }),
  ),
  /** Epochs between two sets of contribution maps of the same images, which `coda train` makes; the last epoch has one. 0: none. */
  explainEvery: v.optional(count(0, maxEpochs), 1),
  /** Of so many images, spread over the validation images, or over the training images where there are none. */
  explainImages: v.optional(count(1, 1000), 4),
});

export type TrainConfigInput = v.InferInput<typeof trainConfigSchema>;
/** With every default filled in. JSON-able. */
export type TrainConfig = Omit<v.InferOutput<typeof trainConfigSchema>, 'network'> & {
  readonly network: JsonObject & { readonly kind: string };
};

/** Throws a CodaError that names every leaf that is wrong, and for a misspelt key the nearest right one. */
export function parseTrainConfig(config: unknown, where = 'train: config'): TrainConfig {
  return parseConfig(trainConfigSchema, config, where, (parsed) => configValueMistakes(config, parsed)) as TrainConfig;
}
