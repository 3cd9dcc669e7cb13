/** A training as the command line and the demo run it: preset or config, stem, run folder, bars. */
import { CodaError, initWeights, Random, type Engine, type JsonObject, type ProcessGroup } from '@coda-nets/core';
import { readFileBytes, readModel } from '@coda-nets/core/node';
import { withStemWeights, type Hybrid } from '@coda-nets/hybrid';
import {
  parseTrainConfig,
  storedConfig,
  train,
  type ImageDataset,
  type TrainConfig,
  type TrainConfigInput,
  type TrainEvent,
} from '@coda-nets/train';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buildNetwork } from './build-network.ts';
import type { CommandIo } from './command-io.ts';
import type { Progress } from './progress.ts';
import { readConfig } from './read-json.ts';
import { trainPreset, type TrainPreset } from './train-presets.ts';

/** A line of metrics is 200 bytes. */
const MAX_METRICS_BYTES = 2 ** 30;

export interface TrainRunOptions {
  /** A preset, or a config file ending in `.json`. */
  readonly preset: string;
  /** The data set as the caller named it, for the record. */
  readonly data: string;
  readonly dataset: ImageDataset;
  readonly engine: Engine;
  readonly out: string;
  readonly io: CommandIo;
  readonly signal: AbortSignal;
  /**
   * Goes on with the run in `out`. A preset only says what was started: of all else than the network the run's own config is taken.
   * `overrides` and what a config file says must equal it.
   */
  readonly resume?: boolean;
  /** The ranks that train together; `io` is of this one. */
  readonly group?: ProcessGroup;
  /** Takes the place of the preset's stem. */
  readonly stem?: string | undefined;
  /** See `TrainOptions`. */
  readonly workers?: number | undefined;
  readonly featureCacheFolder?: string | undefined;
  /** Keys of the config that the call sets. */
  readonly overrides?: Partial<TrainConfigInput>;
}

export interface TrainRun {
  readonly finished: boolean;
  readonly step: number;
  readonly totalSteps: number;
  readonly seconds: number;
  readonly config: TrainConfigInput;
  readonly validation: { readonly top1: number } | undefined;
  readonly bad: readonly (readonly [file: string, reason: string])[];
  readonly waiting: number;
}

export async function trainRun(options: TrainRunOptions): Promise<TrainRun> {
  const { preset, data, dataset, engine, out, io, signal, resume = false, workers, featureCacheFolder, group, overrides = {} } = options;
  const source = await sourceOf(preset);
  const stored = resume && !isFile(preset) ? await storedConfig(out) : undefined;
  const config: TrainConfigInput = { ...source.config, ...stored, network: source.config.network, data, ...overrides };
  const parsed = parseTrainConfig(config, preset);
  if (overrides.limit !== undefined) checkLimit(overrides.limit, parsed);
  const network = buildNetwork(config.network as JsonObject, `${preset}: network`);
  const stem = options.stem ?? source.stem;
  // the head's weights are drawn as the trainer draws them; the stem's are taken
  const drawn = initWeights(network, Random.seeded(config.seed ?? 0).split('weights'));
  const initialWeights = stem === undefined ? undefined : withStemWeights(network as Hybrid, drawn, (await readModel(stem)).weights, stem);
  if (stem !== undefined) io.say(`stem: ${stem}`);
  // of other ranks than 0 only images that cannot be read are heard
  const bars = trainBars(
    group === undefined || group.rank === 0 ? io : { ...io, say: (line) => process.stderr.write(`${group.name}: ${line}\n`) },
  );
  const result = await train({
    network,
    dataset,
    engine,
    config: { ...config, network: network.config },
    out,
    resume,
    ...(initialWeights !== undefined && { initialWeights }),
    ...(group !== undefined && { group }),
    ...(workers !== undefined && { workers }),
    ...(featureCacheFolder !== undefined && { featureCacheFolder }),
    onEvent: bars.onEvent,
    signal,
  }).finally(() => bars.stop());
  return { ...result, config };
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

/** Deletes what a run folder holds; nothing else in it is touched. */
export async function forgetRun(out: string): Promise<void> {
  for (const name of ['checkpoints', 'metrics.jsonl', 'last.safetensors', 'best.safetensors', 'config.json']) {
    await rm(join(out, name), { recursive: true, force: true });
  }
}

/** Whether the folder holds a run that was trained to its last epoch. */
export async function isFinished(out: string): Promise<boolean> {
  const config = await storedConfig(out);
  const epochs = await readEpochs(out);
  return config !== undefined && (epochs.at(-1)?.epoch ?? 0) >= config.epochs;
}

function isFile(preset: string): boolean {
  return preset.endsWith('.json');
}

async function sourceOf(preset: string): Promise<TrainPreset> {
  if (!isFile(preset)) return trainPreset(preset);
  return { config: (await readConfig(preset)) as unknown as TrainConfigInput };
}

export interface EpochLine {
  readonly epoch: number;
  readonly trainLoss?: number;
  readonly trainAccuracy?: number;
  readonly validationLoss?: number;
  readonly validationAccuracy?: number;
}

/** The epochs in a run's metrics.jsonl. The last line of a run that was killed may be half a line. */
export async function readEpochs(out: string): Promise<readonly EpochLine[]> {
  let text: string;
  try {
    text = new TextDecoder().decode(await readFileBytes(join(out, 'metrics.jsonl'), { maxBytes: MAX_METRICS_BYTES }));
  } catch {
    return [];
  }
  return text
    .split('\n')
    .flatMap(metricsLine)
    .filter(({ type }) => type === 'epoch')
    .map(({ validation, ...line }) =>
      validation === undefined ? line : { ...line, validationLoss: validation.loss, validationAccuracy: validation.top1 },
    );
}

type MetricsLine = EpochLine & { readonly type: string; readonly validation?: { readonly loss: number; readonly top1: number } };

/** None where the line is not whole. */
function metricsLine(line: string): MetricsLine[] {
  try {
    return [JSON.parse(line) as MetricsLine];
  } catch {
    return [];
  }
}

/** Draws a training's events: a bar for features, a bar for steps, a line an epoch. */
function trainBars(io: CommandIo): { onEvent: (event: TrainEvent) => void; stop: () => void } {
  let bar: Progress | undefined;
  let shown = '';
  const show = (label: string, total: number, unit: string): Progress => {
    if (shown === label && bar !== undefined) return bar;
    bar?.stop();
    shown = label;
    bar = io.progress(label, total, unit);
    return bar;
  };
  return {
    onEvent: (event) => {
      if (event.type === 'features') show(`features (${event.split})`, event.total, 'images').update(event.done);
      if (event.type === 'step')
        show('training', event.totalSteps, 'steps').update(
          event.step,
          `loss ${event.loss.toFixed(4)}, ${event.imagesPerSecond.toFixed(0)} images/s`,
        );
      if (event.type === 'notice') io.say(event.message);
      if (event.type === 'bad-image') io.say(`left out: ${event.file}: ${event.reason}`);
      if (event.type === 'epoch') {
        bar?.stop();
        bar = undefined;
        const held = event.validation === undefined ? '' : `, validation accuracy ${(100 * event.validation.top1).toFixed(2)} %`;
        io.say(
          `epoch ${event.epoch}/${event.epochs}: loss ${event.trainLoss.toFixed(4)}, accuracy ${(100 * event.trainAccuracy).toFixed(2)} %${held}`,
        );
      }
    },
    stop: () => bar?.stop(),
  };
}
