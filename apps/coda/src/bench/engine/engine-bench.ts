/** `coda bench engine`: runs, trains, starts and loads ResNets here and in PyTorch, in one run, and compares times, memory and numbers. */
import { CodaError, type Engine } from '@coda-nets/core';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandIo } from '../../command-io.ts';
import { checkAgreement, type Agreement, type Tolerances } from '../agreement.ts';
import { interleave, median, type Contender, type Interleaved } from '../interleave.ts';
import { measureAlone, type AloneAnswer, type AloneRequest } from './alone.ts';
import { engineNetworks, engineWorks, type EngineNetwork, type EngineWork, type RunWork, type TapsWork } from './engine-works.ts';
import type { PreparedWork } from '../prepared-work.ts';
import { forwardWork, ourWork } from './our-work.ts';
import { TWIN, type TorchTwin } from './torch-twin.ts';
import { readWorkFiles, writeWorkFiles, type WorkFiles } from './work-files.ts';

/**
 * Largest |a − b| over largest |b| that passes; float32 in other orders of summation through fifty layers. Among millions of activations some are so close to 0
 * that a rectifier is on for one and off for the other: gradients of an untrained ResNet-50 in float32 are 2 % from those in float64 (Euclidean norm), ours and
 * PyTorch's alike, and single entries 13 %. Whether gradients are right is held by the goldens of small networks; this finds other weights, images or labels.
 */
const tolerances: Tolerances = { logits: 1e-4, loss: 1e-4, gradient: 0.3, statistic: 1e-4 };
/** Eager backends take so many rounds. */
const EAGER_ROUNDS = 1;

export interface EngineBenchOptions {
  /** The first one is what goals and memory are measured with. */
  readonly engines: readonly Engine[];
  /** Takes part in the rows for eager backends alone. */
  readonly eager?: Engine | undefined;
  readonly threads: number;
  readonly startTwin?: ((folder?: string) => Promise<TorchTwin>) | undefined;
  readonly rounds: number;
  readonly seed: number;
  readonly io: CommandIo;
  readonly works?: readonly EngineWork[];
  readonly networks?: Readonly<Record<string, EngineNetwork>>;
  readonly signal?: AbortSignal;
}

export interface EngineRow extends Interleaved {
  readonly work: EngineWork;
  readonly label: string;
  /** Of each with PyTorch; without it, of engines with the first. */
  readonly agreement: Readonly<Record<string, Agreement>>;
}

/** Of fresh processes: medians of times, peaks above the imports. */
export interface AloneRow {
  readonly work: EngineWork;
  readonly label: string;
  readonly ours: { readonly ms: number; readonly bytes: number };
  readonly torch: { readonly ms?: number; readonly bytes?: number } | undefined;
  /** Of the file that is loaded. */
  readonly fileBytes?: number;
}

export interface EngineBenchResult {
  readonly twin: string | undefined;
  readonly rows: readonly EngineRow[];
  readonly alone: readonly AloneRow[];
  readonly finished: boolean;
}

/** Throws a CodaError where contenders compute different numbers. */
export async function engineBench(options: EngineBenchOptions): Promise<EngineBenchResult> {
  const { startTwin, seed, works = engineWorks, networks = engineNetworks, signal } = options;
  const folder = await mkdtemp(join(tmpdir(), 'coda-bench-'));
  let twin: TorchTwin | undefined;
  try {
    twin = await startTwin?.(folder);
    const files: Record<string, WorkFiles> = {};
    for (const { network } of works) files[network] ??= await writeWorkFiles(folder, network, networks[network] as EngineNetwork, seed);
    const rows: EngineRow[] = [];
    const alone: AloneRow[] = [];
    const each = async (measure: (work: EngineWork, label: string, paths: WorkFiles) => Promise<void>): Promise<void> => {
      for (const work of works) {
        if (signal?.aborted === true) return;
        const { label } = networks[work.network] as EngineNetwork;
        await measure(work, `${work.label}, ${label}, batch ${work.batch}`, files[work.network] as WorkFiles);
      }
    };
    await each(async (work, label, paths) => {
      if (work.kind === 'start' || work.kind === 'load') return;
      const row = await measureRow(work, label, paths, twin, options);
      if (row.timings.length > 0) rows.push(row);
    });
    await each(async (work, label, paths) => {
      const row = work.kind === 'taps' ? undefined : await measureAloneRow(work, label, paths, folder, options);
      if (row !== undefined) alone.push(row);
    });
    return { twin: twin?.description, rows, alone, finished: signal?.aborted !== true };
  } finally {
    await twin?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureRow(
  work: RunWork | TapsWork,
  label: string,
  files: WorkFiles,
  twin: TorchTwin | undefined,
  { engines, eager, rounds, io, signal }: EngineBenchOptions,
): Promise<EngineRow> {
  const prepared: (PreparedWork & Contender)[] = [];
  try {
    if (work.kind === 'taps') {
      const inputs = await readWorkFiles(files, work.batch);
      for (const choice of ['none', 'stages', 'blocks'] as const) {
        prepared.push(await forwardWork(choice, inputs, engines[0] as Engine, choice));
      }
    } else {
      for (const engine of engines) prepared.push(await ourWork(work, files, engine));
      if (work.eager === true && eager !== undefined) prepared.push({ ...(await ourWork(work, files, eager)), mostRounds: EAGER_ROUNDS });
      if (twin !== undefined) prepared.push(await twin.work(work, files));
    }
    const agreement = await agreementOf(label, prepared);
    const total = prepared.reduce((sum, { mostRounds = rounds }) => sum + Math.min(rounds, mostRounds), 0);
    const bar = io.progress(label, total, 'samples');
    let done = 0;
    const measured = await interleave(prepared, {
      rounds,
      stopped: () => signal?.aborted === true,
      onSample: () => bar.update(++done),
    }).finally(() => bar.stop());
    return { work, label, agreement, ...measured };
  } finally {
    // where a process has ended, so has what it held
    await Promise.allSettled(prepared.map((one) => one.release()));
  }
}

async function agreementOf(label: string, prepared: readonly PreparedWork[]): Promise<Record<string, Agreement>> {
  const results = [];
  for (const one of prepared) results.push({ name: one.name, tensors: await one.results() });
  const reference = results.find(({ name }) => name === TWIN) ?? results[0];
  const agreement: Record<string, Agreement> = {};
  for (const one of results) {
    if (reference === undefined || one === reference) continue;
    const where = `bench: ${label}`;
    agreement[one.name] = checkAgreement(where, [one.name, reference.name], one.tensors, reference.tensors, tolerances);
  }
  return agreement;
}

/** Starts and loadings as often as there are rounds; memory once, each in a process of its own. */
async function measureAloneRow(
  work: Exclude<EngineWork, TapsWork>,
  label: string,
  files: WorkFiles,
  folder: string,
  { engines, threads, rounds, startTwin, io, signal }: EngineBenchOptions,
): Promise<AloneRow | undefined> {
  const request: AloneRequest = { kind: work.kind, batch: work.batch, files, engine: (engines[0] as Engine).name, threads };
  const timed = work.kind === 'start' || work.kind === 'load';
  const answers: AloneAnswer[] = [];
  const stopped = (): boolean => signal?.aborted === true;
  try {
    for (let round = 0; round < (timed ? rounds : 1) && !stopped(); round++) answers.push(await measureAlone(request));
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    io.say(error.message);
    return undefined;
  }
  if (answers.length === 0) return undefined;
  const ours = { ms: median(answers.map(({ ms }) => ms)), bytes: median(answers.map(({ bytes }) => bytes)) };
  const torch = work.kind === 'start' ? undefined : await torchAlone(work, files, await startTwin?.(folder));
  return { work, label, ours, torch, ...(work.kind === 'load' && { fileBytes: (await stat(files.state)).size }) };
}

/** In a Python process that was started for this, which is closed. */
async function torchAlone(work: EngineWork, files: WorkFiles, twin: TorchTwin | undefined): Promise<AloneRow['torch']> {
  if (twin === undefined) return undefined;
  try {
    let ms: number | undefined;
    if (work.kind === 'load') ms = await twin.load(files.state);
    else await (await twin.work({ kind: work.kind as RunWork['kind'], batch: work.batch }, files)).measure(2);
    const { baseline, peak } = await twin.memory();
    return { ...(ms !== undefined && { ms }), bytes: peak - baseline };
  } finally {
    await twin.close();
  }
}
