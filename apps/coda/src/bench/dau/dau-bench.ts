/** `coda bench dau`: trains, runs and explains CoDA networks here and in PyTorch, in one run, and compares times, memory and numbers. */
import { CodaError, type Engine } from '@coda-nets/core';
import { codaNetwork } from '@coda-nets/dau';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandIo } from '../../command-io.ts';
import { interleave, type Timing } from '../interleave.ts';
import { engineMatmul, matmulFlops, peakShape, type MatmulShape } from '../matmul-peak.ts';
import { checkAgreement, type Agreement } from '../agreement.ts';
import { dauFlops } from './dau-flops.ts';
import { dauWorks, presetNetworks, type BenchNetwork, type DauWork } from './dau-works.ts';
import { ourPeak, twinPeak, type PeakMemory } from './memory.ts';
import type { PreparedWork } from '../prepared-work.ts';
import { ourWork } from './our-work.ts';
import { twinForms, type StartTwins, type Twins } from './twins.ts';
import { writeWorkFiles, type WorkFiles } from './work-files.ts';

export interface DauBenchOptions {
  /** The first one is what goals and memory are measured with. */
  readonly engines: readonly Engine[];
  readonly threads: number;
  /** Starts the PyTorch twins in a new process; left out, ours alone is measured. */
  readonly startTwins?: StartTwins;
  readonly rounds: number;
  /** Whether the published form also explains tap by tap where a work asks for it, once: that takes ten times as long. Default true. */
  readonly tapByTap?: boolean;
  readonly seed: number;
  readonly io: CommandIo;
  readonly works?: readonly DauWork[];
  readonly networks?: Readonly<Record<string, BenchNetwork>>;
  /** The product that the machine's peak is taken of. */
  readonly matmul?: MatmulShape;
  readonly signal?: AbortSignal;
}

export interface DauRow {
  readonly id: string;
  readonly label: string;
  readonly flops: number;
  readonly goals: DauWork['goals'];
  readonly timings: readonly Timing[];
  /** Of ours with each twin. */
  readonly agreement: Readonly<Record<string, Agreement>>;
  /** Processors that other work kept busy meanwhile. */
  readonly otherProcessors: number;
}

export interface DauMemoryRow {
  readonly id: string;
  readonly label: string;
  /** The share of the published form's memory that is wanted. */
  readonly goal: number;
  readonly peaks: readonly PeakMemory[];
}

interface MatmulPeak {
  readonly name: string;
  /** GFLOP/s */
  readonly gflops: number;
  /** GFLOP in a second of one processor's time, which other work does not take away from. */
  readonly processorGflops: number;
}

export interface DauBenchResult {
  readonly twins: string | undefined;
  /** Of a float32 matrix product, by engine and in torch, the largest first. */
  readonly peaks: readonly MatmulPeak[];
  readonly rows: readonly DauRow[];
  readonly memory: readonly DauMemoryRow[];
  readonly finished: boolean;
}

/** Throws a CodaError where contenders compute different numbers. */
export async function dauBench(options: DauBenchOptions): Promise<DauBenchResult> {
  const { engines, startTwins, rounds, seed, io, works = dauWorks, networks = presetNetworks, matmul = peakShape, signal } = options;
  const folder = await mkdtemp(join(tmpdir(), 'coda-bench-'));
  const stopped = (): boolean => signal?.aborted === true;
  let twins: Twins | undefined;
  try {
    twins = await startTwins?.(folder);
    const files: Record<string, WorkFiles> = {};
    for (const { network } of works) files[network] ??= await writeWorkFiles(folder, network, networks[network] as BenchNetwork, seed);
    const peaks = await matmulPeaks(engines, twins, matmul, rounds);
    io.say(`float32 matrix product: ${peaks.map(({ name, gflops }) => `${name} ${gflops.toFixed(0)} GFLOP/s`).join(', ')}`);
    const rows: DauRow[] = [];
    for (const work of works) {
      if (stopped()) break;
      const row = await measureRow(work, networks[work.network] as BenchNetwork, files[work.network] as WorkFiles, twins, options);
      if (row.timings.length > 0) rows.push(row);
    }
    const memory: DauMemoryRow[] = [];
    for (const work of works) {
      if (stopped() || work.memoryGoal === undefined) continue;
      const row = await measureMemory(work, networks[work.network] as BenchNetwork, files[work.network] as WorkFiles, folder, options);
      if (row !== undefined) memory.push(row);
    }
    return { twins: twins?.description, peaks, rows, memory, finished: !stopped() };
  } finally {
    await twins?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function matmulPeaks(
  engines: readonly Engine[],
  twins: Twins | undefined,
  shape: MatmulShape,
  rounds: number,
): Promise<readonly MatmulPeak[]> {
  const products = await Promise.all(engines.map((engine) => engineMatmul(engine, shape)));
  const { timings } = await interleave([...products, ...(twins === undefined ? [] : [twins.matmul(shape)])], { rounds });
  for (const product of products) await product.release();
  const gflops = (ms: number): number => matmulFlops(shape) / ms / 1e6;
  return timings
    .map(({ name, medianMs, medianProcessorMs }) => ({ name, gflops: gflops(medianMs), processorGflops: gflops(medianProcessorMs) }))
    .toSorted((a, b) => b.gflops - a.gflops);
}

async function measureRow(
  work: DauWork,
  { label: networkLabel, config }: BenchNetwork,
  files: WorkFiles,
  twins: Twins | undefined,
  { engines, rounds, tapByTap = true, io, signal }: DauBenchOptions,
): Promise<DauRow> {
  const label = `${work.label}, ${networkLabel}, batch ${work.batch}`;
  const prepared: PreparedWork[] = [];
  try {
    for (const engine of engines) prepared.push(await ourWork(work, files, engine));
    const taps = tapIndices(work, config);
    for (const form of twins === undefined ? [] : twinForms) prepared.push(await (twins as Twins).work(form, work, files, taps));
    const agreement = await agreementOf(label, prepared);
    if (twins !== undefined && tapByTap && work.tapByTap === true) {
      // its numbers are held by the tests of the twins
      prepared.push({ ...(await twins.work('published', work, files, taps, 'explain-tap-by-tap')), mostRounds: 1 });
    }
    const bar = io.progress(
      label,
      prepared.reduce((sum, { mostRounds = rounds }) => sum + Math.min(rounds, mostRounds), 0),
      'samples',
    );
    let done = 0;
    const { timings, otherProcessors } = await interleave(prepared, {
      rounds,
      stopped: () => signal?.aborted === true,
      onSample: () => bar.update(++done),
    }).finally(() => bar.stop());
    return { id: work.id, label, flops: dauFlops(config, work), goals: work.goals, timings, agreement, otherProcessors };
  } finally {
    // where a process has ended, so has what it held
    await Promise.allSettled(prepared.map((one) => one.release()));
  }
}

function tapIndices(work: DauWork, config: BenchNetwork['config']): readonly number[] {
  return work.taps === 'all' ? codaNetwork(config).taps.map((_, i) => i) : [0];
}

/** Everyone against the first twin; without twins, engines against the first engine. */
async function agreementOf(label: string, prepared: readonly PreparedWork[]): Promise<Record<string, Agreement>> {
  const results = [];
  for (const one of prepared) results.push({ name: one.name, tensors: await one.results() });
  const reference = results.find(({ name }) => name === 'published') ?? results[0];
  const agreement: Record<string, Agreement> = {};
  for (const one of results) {
    if (reference === undefined || one === reference) continue;
    agreement[one.name] = checkAgreement(`bench: ${label}`, [one.name, reference.name], one.tensors, reference.tensors);
  }
  return agreement;
}

async function measureMemory(
  work: DauWork,
  { label: networkLabel, config }: BenchNetwork,
  files: WorkFiles,
  folder: string,
  { engines, threads, startTwins, io }: DauBenchOptions,
): Promise<DauMemoryRow | undefined> {
  const peaks: PeakMemory[] = [];
  const { kind, batch, taps } = work;
  try {
    for (const { name } of engines) peaks.push(await ourPeak({ work: { kind, batch, taps }, files, engine: name, threads }));
  } catch (error) {
    if (!CodaError.isInstance(error)) throw error;
    io.say(error.message);
    return undefined;
  }
  for (const form of twinForms) {
    if (startTwins === undefined) break;
    peaks.push(await twinPeak(await startTwins(folder), form, work, files, tapIndices(work, config)));
  }
  return { id: work.id, label: `${work.label}, ${networkLabel}, batch ${batch}`, goal: work.memoryGoal as number, peaks };
}
