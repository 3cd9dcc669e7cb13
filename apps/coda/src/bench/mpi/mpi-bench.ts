/**
 * `coda bench mpi`: all-reduce between two processes of this machine against the same MPI called from C, and the share of a hybrid's training step that goes into
 * it. Prints the constants of the model in docs/distributed.md: α, the time of the smallest call, and β, the bytes a second of the largest.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CodaError } from '@coda-nets/core';
import type { Bench, BenchRun } from '../bench.ts';
import { milliseconds, ratio, textTable } from '../text-table.ts';
import { allReduceTwin } from './all-reduce-twin.ts';

const RANKS = 2;
const STEPS = 24;
/** Floats: a scalar, the parameters of a small head, a bucket, a ResNet-50. */
const LENGTHS = [1, 262_144, 4_194_304, 25_557_032];
/** Of the C twin's rate at a bucket and above. */
const GOAL = 0.9;
/** So many turns of both, one after the other. */
const TURNS = 3;

interface Launcher {
  readonly name: string;
  readonly run: string;
  readonly compiler: string;
}

/** Debian's names tell them apart; a cluster has one. */
const launchers: readonly Launcher[] = [
  { name: 'Open MPI', run: 'mpirun.openmpi', compiler: 'mpicc.openmpi' },
  { name: 'MPICH', run: 'mpiexec.mpich', compiler: 'mpicc.mpich' },
  { name: 'mpirun', run: 'mpirun', compiler: 'mpicc' },
];

/** Open MPI starts neither as root nor more ranks than it counts processors unless told to. */
const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1', OMPI_MCA_rmaps_base_oversubscribe: '1' };

interface Rates {
  readonly seconds: readonly number[];
}

interface StepTimes {
  readonly seconds: number;
  readonly moved: number;
  readonly waited: number;
  readonly bytes: number;
  readonly calls: number;
}

export const mpiBench: Bench = {
  name: 'mpi',
  description: 'all-reduce against the same MPI from C, and its share of a training step',
  works: ['all-reduce', 'step'],
  run: async ({ io, works = ['all-reduce', 'step'], rounds, signal }: BenchRun) => {
    const here = launchers.filter(({ run }) => spawnSync(run, ['--version'], { timeout: 10_000 }).status === 0);
    const chosen = here.length > 1 ? here.filter(({ name }) => name !== 'mpirun') : here;
    if (chosen.length === 0) io.say('mpi: no launcher of MPI is here (mpirun), nothing is measured');
    const results: Record<string, object> = {};
    for (const launcher of chosen) {
      if (signal.aborted) return { finished: false, ...results };
      results[launcher.name] = {
        ...(works.includes('all-reduce') && { allReduce: await measureAllReduce(launcher, 2 * rounds, io) }),
        ...(works.includes('step') && { step: measureStep(launcher, io, 'sync'), stepOfOwn: measureStep(launcher, io, 'own') }),
      };
    }
    return { finished: true, ...results };
  },
};

async function measureAllReduce(launcher: Launcher, rounds: number, io: BenchRun['io']): Promise<object> {
  const folder = await mkdtemp(join(tmpdir(), 'coda-bench-mpi-'));
  try {
    const source = join(folder, 'twin.c');
    const twin = join(folder, 'twin');
    await writeFile(source, allReduceTwin);
    const compiled = spawnSync(launcher.compiler, ['-O2', '-o', twin, source]).status === 0;
    if (!compiled)
      io.say(`${launcher.name}: ${launcher.compiler} compiles nothing here (Debian: libopenmpi-dev, libmpich-dev), ours alone`);
    const args = [String(rounds), ...LENGTHS.map(String)];
    const turns = Array.from({ length: TURNS }, () => ({
      ours: ranks<Rates>(launcher, [process.execPath, child(), 'all-reduce', ...args]),
      theirs: compiled ? ranks<Rates>(launcher, [twin, ...args]) : undefined,
    }));
    const best = (side: 'ours' | 'theirs'): number[] =>
      LENGTHS.map((_, i) => Math.min(...turns.map((turn) => turn[side]?.seconds[i] ?? Infinity)));
    const [ours, theirs] = [best('ours'), best('theirs')];
    const rows = LENGTHS.map((length, i) => {
      const [own, other] = [ours[i] as number, theirs[i] as number];
      return [
        `${(4 * length).toLocaleString('en')} bytes`,
        milliseconds(1000 * own),
        compiled ? milliseconds(1000 * other) : '—',
        compiled ? ratio(other / own) : '—',
      ];
    });
    for (const line of textTable([`${launcher.name}, all-reduce, ${RANKS} ranks`, 'ours', 'C', 'C / ours'], rows)) io.say(line);
    const latency = ours[0] as number;
    const bandwidth = (4 * (LENGTHS.at(-1) as number)) / (ours.at(-1) as number);
    io.say(`α ${milliseconds(1000 * latency)}, β ${(bandwidth / 1e9).toFixed(2)} GB/s; goal: ${GOAL}× the rate of C from a bucket on`);
    return { lengths: LENGTHS, ours, ...(compiled && { theirs }), latency, bandwidth };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Batch norms in step with each other, or each rank's its own. */
function measureStep(launcher: Launcher, io: BenchRun['io'], batchNorm: 'sync' | 'own'): StepTimes {
  const times = ranks<StepTimes>(launcher, [process.execPath, child(), 'step', batchNorm, String(STEPS)]);
  const share = (x: number): string => `${((100 * x) / times.seconds).toFixed(1)} %`;
  io.say(
    `${launcher.name}, step of the CIFAR hybrid with a trained stem, ${RANKS} ranks × 16 images, one thread each, ` +
      `${batchNorm === 'sync' ? 'batch norm over all ranks' : 'batch norm of each rank'}: ${milliseconds(1000 * times.seconds)}, ` +
      `${times.calls} messages, communication ${share(times.moved)}, waiting for the other ${share(times.waited)}, ${(times.bytes / 1e6).toFixed(1)} MB a step`,
  );
  return times;
}

/** What rank 0 prints. */
function ranks<T>({ run }: Launcher, args: readonly string[]): T {
  const { status, stdout, stderr } = spawnSync(run, ['-np', String(RANKS), ...args], { env, encoding: 'utf8' });
  const line = stdout.split('\n').find((text) => text.startsWith('{'));
  if (status === 0 && line !== undefined) return JSON.parse(line) as T;
  throw new CodaError({ kind: 'unavailable', where: `bench mpi: ${run}`, problem: `ended with ${status}`, got: stderr.trim().slice(-500) });
}

function child(): string {
  return fileURLToPath(new URL('ranks-child.js', import.meta.url));
}
