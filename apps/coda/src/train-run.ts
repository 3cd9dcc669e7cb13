/** A training as the command line and the demo run it: preset or config, stem, run folder, bars. */
import { CodaError, initWeights, Random, type Engine, type JsonObject, type Model } from '@coda-nets/core';
import { readFileBytes, readModel } from '@coda-nets/core/node';
import { withStemWeights, type Hybrid } from '@coda-nets/hybrid';
import { parseTrainConfig, storedConfig, train, type ImageDataset, type TrainConfigInput, type TrainEvent } from '@coda-nets/train';
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
  readonly resume?: boolean;
  /** Takes up a run that was interrupted and starts one that is finished, or was started by another config, anew. */
  readonly restart?: boolean;
  /** Takes the place of the preset's stem. */
  readonly stem?: string | undefined;
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
  /** The model as it was last saved. */
  readonly model: Model;
}

export async function trainRun(options: TrainRunOptions): Promise<TrainRun> {
  const { preset, data, dataset, engine, out, io, signal, overrides = {} } = options;
  const source = await sourceOf(preset);
  const config: TrainConfigInput = { ...source.config, data, ...overrides };
  parseTrainConfig(config, preset);
  const network = buildNetwork(config.network as JsonObject, `${preset}: network`);
  const stem = options.stem ?? source.stem;
  // the head's weights are drawn as the trainer draws them; the stem's are taken
  const drawn = initWeights(network, Random.seeded(config.seed ?? 0).split('weights'));
  const initialWeights = stem === undefined ? undefined : withStemWeights(network as Hybrid, drawn, (await readModel(stem)).weights, stem);
  if (stem !== undefined) io.say(`stem: ${stem}`);
  let resume = options.resume === true;
  if (options.restart === true) {
    resume = (await storedConfig(out)) !== undefined;
    if (resume && (await isFinished(out))) {
      await forget(out);
      resume = false;
    }
  }
  const run = (again: boolean) => {
    const bars = trainBars(io);
    return train({
      network,
      dataset,
      engine,
      config: { ...config, network: network.config },
      out,
      resume: again,
      ...(initialWeights !== undefined && { initialWeights }),
      onEvent: bars.onEvent,
      signal,
    }).finally(() => bars.stop());
  };
  const result = await run(resume).catch(async (error: unknown) => {
    const stale = options.restart === true && resume && CodaError.isInstance(error) && error.kind === 'mismatch';
    if (!stale) throw error;
    io.say(`the run in ${out} is of another config: starting anew`);
    await forget(out);
    return run(false);
  });
  const model = await readModel(join(out, 'last.safetensors'));
  return { ...result, config, model };
}

/** What a run folder holds; nothing else in it is touched. */
async function forget(out: string): Promise<void> {
  for (const name of ['checkpoints', 'metrics.jsonl', 'last.safetensors', 'best.safetensors', 'config.json']) {
    await rm(join(out, name), { recursive: true, force: true });
  }
}

async function isFinished(out: string): Promise<boolean> {
  const config = await storedConfig(out);
  const epochs = await readEpochs(out);
  return config !== undefined && (epochs.at(-1)?.epoch ?? 0) >= config.epochs;
}

async function sourceOf(preset: string): Promise<TrainPreset> {
  if (!preset.endsWith('.json')) return trainPreset(preset);
  return { config: (await readConfig(preset)) as unknown as TrainConfigInput };
}

export interface EpochLine {
  readonly epoch: number;
  readonly trainLoss?: number;
  readonly trainAccuracy?: number;
  readonly validationLoss?: number;
  readonly validationAccuracy?: number;
}

/** The epochs in a run's metrics.jsonl. */
export async function readEpochs(out: string): Promise<readonly EpochLine[]> {
  let text: string;
  try {
    text = new TextDecoder().decode(await readFileBytes(join(out, 'metrics.jsonl'), { maxBytes: MAX_METRICS_BYTES }));
  } catch {
    return [];
  }
  const lines = text.split('\n').filter((line) => line !== '');
  const parsed = lines.map((line) => JSON.parse(line) as EpochLine & { type: string; validation?: { loss: number; top1: number } });
  return parsed
    .filter(({ type }) => type === 'epoch')
    .map(({ validation, ...line }) => (validation === undefined ? line : { ...line, validationLoss: validation.loss, validationAccuracy: validation.top1 }));
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
      if (event.type === 'step') show('training', event.totalSteps, 'steps').update(event.step, `loss ${event.loss.toFixed(4)}, ${event.imagesPerSecond.toFixed(0)} images/s`);
      if (event.type === 'notice') io.say(event.message);
      if (event.type === 'epoch') {
        bar?.stop();
        bar = undefined;
        const held = event.validation === undefined ? '' : `, validation accuracy ${(100 * event.validation.top1).toFixed(2)} %`;
        io.say(`epoch ${event.epoch}/${event.epochs}: loss ${event.trainLoss.toFixed(4)}, accuracy ${(100 * event.trainAccuracy).toFixed(2)} %${held}`);
      }
    },
    stop: () => bar?.stop(),
  };
}
