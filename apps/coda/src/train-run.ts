/** A training as the command line and the demo run it: preset or config, stem, run folder, bars. */
import type { Engine, ProcessGroup } from '@coda-nets/core';
import { storedConfig, train, type TrainConfig } from '@coda-nets/train';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandIo } from './command-io.ts';
import { prepareTraining, type TrainingChoice } from './prepare-training.ts';
import { readMetrics } from './report/read-metrics.ts';
import { runMonitor } from './run-monitor.ts';
import { stemPath } from './stem-file.ts';
import { trainBars } from './train-bars.ts';

export interface TrainRunOptions extends TrainingChoice {
  readonly engine: Engine;
  readonly io: CommandIo;
  readonly signal: AbortSignal;
  /** The ranks that train together; `io` is of this one. */
  readonly group?: ProcessGroup;
  /** See `TrainOptions`. */
  readonly workers?: number | undefined;
}

export interface TrainRun {
  readonly finished: boolean;
  readonly step: number;
  readonly totalSteps: number;
  readonly seconds: number;
  readonly config: TrainConfig;
  readonly validation: { readonly top1: number } | undefined;
  readonly bad: readonly (readonly [file: string, reason: string])[];
  readonly waiting: number;
}

export async function trainRun(options: TrainRunOptions): Promise<TrainRun> {
  const { dataset, engine, out, io, signal, resume = false, workers, featureCacheFolder, group } = options;
  const { network, config, classNames, initialWeights } = await prepareTraining(options);
  if (config.stem !== undefined) io.say(`stem: ${stemPath(config.stem)}`);
  // of other ranks than 0 only images that cannot be read are heard
  const bars = trainBars(
    group === undefined || group.rank === 0 ? io : { ...io, say: (line) => process.stderr.write(`${group.name}: ${line}\n`) },
  );
  const result = await train({
    network,
    dataset,
    engine,
    config,
    out,
    resume,
    ...(initialWeights !== undefined && { initialWeights }),
    ...(group !== undefined && { group }),
    ...(workers !== undefined && { workers }),
    ...(featureCacheFolder !== undefined && { featureCacheFolder }),
    onEvent: bars.onEvent,
    ...((group?.rank ?? 0) === 0 && { atEpochEnd: runMonitor({ network, engine, config, classNames, say: io.say }) }),
    signal,
  }).finally(() => bars.stop());
  return { ...result, config };
}

/** Deletes what a run folder holds; nothing else in it is touched. */
export async function forgetRun(out: string): Promise<void> {
  const events = (await readdir(out).catch(() => [])).filter((name) => name.startsWith('events.out.tfevents.'));
  const files = ['checkpoints', 'maps', 'report.html', 'metrics.jsonl', 'last.safetensors', 'best.safetensors', 'config.json'];
  for (const name of [...events, ...files]) await rm(join(out, name), { recursive: true, force: true });
}

/** Whether the folder holds a run that was trained to its last epoch. */
export async function isFinished(out: string): Promise<boolean> {
  const config = await storedConfig(out);
  const { epochs } = await readMetrics(out);
  return config !== undefined && (epochs.at(-1)?.epoch ?? 0) >= config.epochs;
}
