/**
 * The interpolation between a conventional network and a CoDA network (arXiv 2109.13004, abstract): the same hybrid cut at several depths, each
 * trained in a run folder of its own, and what each gives for what it costs. Goes on where it was interrupted.
 */
import { CodaError } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { parseHybridConfig } from '@coda-nets/hybrid';
import { resnetCuts } from '@coda-nets/resnet';
import { storedConfig, type ImageDataset } from '@coda-nets/train';
import { join } from 'node:path';
import { runDepth } from './depth/run-depth.ts';
import { networkCost } from './network-cost.ts';
import { prepareTraining, type PreparedTraining } from './prepare-training.ts';
import { readMetrics } from './report/read-metrics.ts';
import { trainRun, type TrainRunOptions } from './train-run.ts';

export interface SweepOptions extends Omit<TrainRunOptions, 'cut' | 'resume'> {
  /** Taps of the backbone, or stages; default every stage. */
  readonly cuts?: readonly string[] | undefined;
  /** Grids of test images for interpretable depth; 0: it is not measured. */
  readonly grids: number;
  readonly seed: number;
}

export interface SweepEntry {
  readonly cut: string;
  /** The tap that it is. */
  readonly tap: string;
  readonly run: string;
  /** Of the last epoch; undefined without validation. */
  readonly validationAccuracy: number | undefined;
  readonly trainLoss: number | undefined;
  readonly epochs: number;
  readonly seconds: number | undefined;
  readonly trained: number;
  readonly frozen: number;
  readonly multiplyAdds: number;
  /** Bytes at the run's batch, as `coda info` counts. */
  readonly trainingMemory: number;
  /** Taps from the output without a gap that localise well enough, of all; see `coda depth`. */
  readonly interpretableDepth: { readonly taps: number; readonly of: number } | undefined;
}

/** Undefined where it was interrupted. Throws a CodaError for a cut that cannot be, and for grids without a test split, before anything is trained. */
export async function sweep(options: SweepOptions): Promise<readonly SweepEntry[] | undefined> {
  const { out, io, engine, data, dataset, grids, seed, signal } = options;
  const cuts = options.cuts ?? (await stagesOf(options));
  const prepared = new Map<string, PreparedTraining>();
  for (const cut of cuts) prepared.set(cut, await prepareTraining({ ...options, ...(await place(out, cut)), cut }));
  if (grids > 0) checkTestSplit(dataset);
  const entries: SweepEntry[] = [];
  for (const [cut, { network, config }] of prepared) {
    io.say(`\n${cut}: ${join(out, cut)}`);
    const run = await trainRun({ ...options, ...(await place(out, cut)), cut });
    if (!run.finished) return undefined;
    const last = (await readMetrics(join(out, cut))).epochs.at(-1);
    const cost = networkCost(network, { batch: config.batch });
    entries.push({
      cut,
      tap: (config.network as unknown as { readonly cut: string }).cut,
      run: join(out, cut),
      validationAccuracy: last?.validationAccuracy,
      trainLoss: last?.trainLoss,
      // an early stop may have ended it before the last that was asked for
      epochs: last?.epoch ?? config.epochs,
      seconds: last?.seconds,
      trained: cost.parameters,
      frozen: cost.frozen,
      multiplyAdds: cost.multiplyAdds,
      trainingMemory: cost.memory.training,
      interpretableDepth: undefined,
    });
  }
  await writeResults(out, data, entries);
  if (grids === 0) return entries;
  const results = await withDepth(entries, { grids, data, engine, io, signal, seed, out });
  await writeResults(out, data, results);
  return results;
}

function checkTestSplit(dataset: ImageDataset): void {
  try {
    dataset.split('test');
  } catch (cause) {
    if (!CodaError.isInstance(cause) || cause.kind !== 'argument') throw cause;
    const { kind, where, problem, expected } = cause;
    throw new CodaError({ kind, where: `sweep: --grids: ${where}`, problem, expected, hint: 'Without --grids none is needed.', cause });
  }
}

async function writeResults(out: string, data: string, cuts: readonly SweepEntry[]): Promise<void> {
  await writeFileAtomic(join(out, 'results.json'), `${JSON.stringify({ data, cuts }, undefined, 2)}\n`);
  await writeFileAtomic(join(out, 'results.csv'), sweepCsv(cuts));
}

/** A run that is there goes on, and a finished one is finished at once; one of another config is refused by the trainer. */
async function place(out: string, cut: string): Promise<{ readonly out: string; readonly resume: boolean }> {
  const run = join(out, cut);
  return { out: run, resume: (await storedConfig(run)) !== undefined };
}

/** `layer1`, `layer2`, … of the hybrid's backbone. */
async function stagesOf(options: SweepOptions): Promise<readonly string[]> {
  const { network, config } = await prepareTraining(options);
  // what has no cut is refused where it is to be moved
  if (network.config.kind !== 'hybrid') return [''];
  const { backbone } = parseHybridConfig(config.network);
  return [...new Set(resnetCuts(backbone).flatMap((tap) => /^layer\d+(?=\.)/.exec(tap)?.[0] ?? []))];
}

async function withDepth(
  entries: readonly SweepEntry[],
  { out, ...rest }: Pick<SweepOptions, 'grids' | 'data' | 'engine' | 'io' | 'signal' | 'seed' | 'out'>,
): Promise<readonly SweepEntry[]> {
  const depth = await runDepth({
    ...rest,
    models: entries.map(({ run }) => join(run, 'last.safetensors')),
    preset: 'coda2021',
    methods: ['contributions'],
    probeAt: [],
    setting: 'whole',
    removal: 0,
    threshold: 0.5,
    out: join(out, 'depth'),
  });
  // of a shard alone there would be none
  if (depth === undefined) return entries;
  return entries.map((entry, i) => {
    const { taps, of } = depth.results.models[i]?.methods[0]?.interpretableDepth ?? {};
    return taps === undefined || of === undefined ? entry : { ...entry, interpretableDepth: { taps, of } };
  });
}

function sweepCsv(entries: readonly SweepEntry[]): string {
  const header =
    'cut,tap,validation accuracy,train loss,epochs,seconds,trained,frozen,multiply-adds,training memory,interpretable depth,taps';
  const rows = entries.map((one) =>
    [
      one.cut,
      one.tap,
      one.validationAccuracy ?? '',
      one.trainLoss ?? '',
      one.epochs,
      one.seconds ?? '',
      one.trained,
      one.frozen,
      one.multiplyAdds,
      one.trainingMemory,
      one.interpretableDepth?.taps ?? '',
      one.interpretableDepth?.of ?? '',
    ].join(','),
  );
  return `${[header, ...rows].join('\n')}\n`;
}
