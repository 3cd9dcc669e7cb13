/**
 * A group of processes that talk by MPI. All calls of MPI are made by one thread of this process: blocking calls are the fastest that MPI has, and this
 * way nobody waits for them who has something else to do. Arrays are not copied: the thread gets their addresses, and this side keeps them alive.
 */
import { CodaError, type GroupArray, type GroupReport, type ProcessGroup, type Reducible, type Reduction } from '@coda-nets/core';
import koffi from 'koffi';
import { writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Launch } from './launch.ts';
import { leaveTheHeapAlone } from './leave-the-heap-alone.ts';
import type { ElementType } from './mpi-abi.ts';
import type { Memory } from './mpi-library.ts';
import type { Done, Order, ThreadData, Work } from './mpi-thread.ts';

export interface MpiGroup extends ProcessGroup {
  /** The library's file and what it says of itself. */
  readonly library: { readonly path: string; readonly version: string };
}

export interface MpiGroupOptions {
  readonly launch: Launch;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds that a rank waits for others before it aborts the job. */
  readonly timeout: number;
}

/** MPI counts in int. */
const mostElements = 2 ** 31 - 1;
/** What is aborted ends within so long, or is killed. */
const abortMs = 5000;
/** The thread sees the time-out itself, unless it hangs inside MPI: then it is seen here, so much later. */
const hangMs = 10_000;

interface Waiting {
  readonly resolve: (done: Done) => void;
  readonly reject: (error: CodaError) => void;
  /** Kept alive until the thread is done with them. */
  readonly arrays: readonly GroupArray[];
}

/** Throws a CodaError: `unavailable` without MPI, `mismatch` where the library does not see the ranks that the launcher started. */
export async function mpiGroup({ launch, environment, timeout }: MpiGroupOptions): Promise<MpiGroup> {
  leaveTheHeapAlone();
  const signal = new Int32Array(new SharedArrayBuffer(4));
  const own = `${hostname()}, process ${process.pid}`;
  const data: ThreadData = {
    family: launch.family,
    environment: { ...environment },
    platform: process.platform,
    signal,
    timeout,
    process: own,
  };
  const file = import.meta.url.endsWith('.ts') ? 'mpi-thread.ts' : 'mpi-thread.js';
  const worker = new Worker(new URL(file, import.meta.url), { workerData: data });
  const waiting = new Map<number, Waiting>();
  let asked = 0;
  let ended: CodaError | undefined;
  const report = { calls: 0, bytes: 0, waited: 0, moved: 0 };

  const fail = (cause: unknown): void => {
    ended ??= new CodaError({ kind: 'unavailable', where: 'distributed', problem: `the thread of MPI has ended: ${String(cause)}`, cause });
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  };
  worker.on('error', fail);
  worker.on('exit', (code) => fail(`exit ${code}`));
  worker.on('message', (done: Done) => {
    const call = waiting.get(done.id);
    waiting.delete(done.id);
    if (waiting.size === 0) worker.unref();
    if (done.error === undefined) call?.resolve(done);
    else call?.reject(new CodaError(done.error));
  });
  const answered = (id: number, arrays: readonly GroupArray[]): Promise<Done> =>
    new Promise((resolve, reject) => {
      if (ended !== undefined) return reject(ended);
      waiting.set(id, { resolve, reject, arrays });
      worker.ref();
    });

  // MPI_Init waits for all ranks, and cannot be asked how long it has
  const late = setTimeout(() => {
    const seconds = (timeout + hangMs) / 1000;
    kill(
      `rank ${launch.rank} of ${launch.size} (${own}) has waited ${seconds} s for all ranks to start and is killed. ` +
        `A rank that does not say so hangs before it comes to MPI, or is slower than the time-out (CODA_MPI_TIMEOUT, in seconds).`,
    );
  }, timeout + hangMs);
  const { library } = await answered(0, []).finally(() => clearTimeout(late));
  const { rank, size, path, version } = library as NonNullable<Done['library']>;
  const name = `rank ${rank} of ${size} (${own})`;
  const ask = async (work: Work, label: string, arrays: readonly GroupArray[] = []): Promise<void> => {
    const id = ++asked;
    const done = answered(id, arrays);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread of Node has no origin
    worker.postMessage({ id, work, label } satisfies Order);
    const watch =
      work.kind === 'close'
        ? undefined
        : setTimeout(() => kill(`${name} hangs inside MPI in ${work.kind} "${label}" and is killed`), timeout + hangMs);
    try {
      const { waited = 0, moved = 0 } = await done;
      report.calls++;
      report.waited += waited;
      report.moved += moved;
      for (const array of arrays) report.bytes += array.byteLength;
    } finally {
      clearTimeout(watch);
    }
  };

  if (size !== launch.size) {
    if (size === 1) await ask({ kind: 'close' }, 'end of a rank that is alone');
    await worker.terminate();
    throw new CodaError({
      kind: 'mismatch',
      where: 'distributed',
      problem: `${launch.launcher} started ${launch.size} processes, and the MPI library is not of the same kind: each would think that it is one of ${size}`,
      expected: `the library of ${launch.launcher}`,
      got: `${path} (${version})`,
      hint: 'Name the file of the right one in CODA_MPI_LIBRARY, or start with the launcher of this one (mpirun.openmpi, mpiexec.mpich, srun --mpi=pmix or --mpi=pmi2).',
    });
  }

  const group: MpiGroup = {
    rank,
    size,
    name,
    library: { path, version },
    allReduce: (values: Reducible, reduction: Reduction, label) =>
      ask({ kind: 'all-reduce', memory: memoryOf(values, 'allReduce'), reduction }, label, [values]),
    broadcast: (values, label, root = 0) => ask({ kind: 'broadcast', memory: memoryOf(values, 'broadcast'), root }, label, [values]),
    allGather: async <T extends GroupArray>(values: T, label: string): Promise<T[]> => {
      const lengths = new BigInt64Array(size);
      lengths[rank] = BigInt(values.length);
      await group.allReduce(lengths, 'sum', `${label}: lengths`);
      const counts = Int32Array.from(lengths, Number);
      const starts = new Int32Array(size);
      for (let r = 1; r < size; r++) starts[r] = (starts[r - 1] as number) + (counts[r - 1] as number);
      const total = lengths.reduce((sum, length) => sum + length, 0n);
      checkCount(Number(total), 'allGather');
      const all = new (values.constructor as new (length: number) => T)(Number(total));
      const from = memoryOf(values, 'allGather');
      await ask({ kind: 'all-gather', from, to: memoryOf(all, 'allGather'), counts, starts }, label, [values, all]);
      return Array.from(counts, (count, r) => all.slice(starts[r], (starts[r] as number) + count) as T);
    },
    barrier: (label) => ask({ kind: 'barrier' }, label),
    report: (): GroupReport => ({ ...report }),
    abort: async (error) => {
      process.stderr.write(`error: ${name}: ${error instanceof Error ? error.message : String(error)}\n`);
      Atomics.store(signal, 0, 1);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread of Node has no origin
      worker.postMessage({ id: ++asked, work: { kind: 'abort' }, label: 'abort' } satisfies Order);
      return new Promise(() => setTimeout(() => process.kill(process.pid, 'SIGKILL'), abortMs));
    },
    close: async () => {
      await ask({ kind: 'close' }, 'end');
      worker.removeAllListeners('exit');
      await worker.terminate();
    },
  };
  return group;
}

/** The launcher sees it, and ends the others. */
function kill(reason: string): void {
  writeSync(2, `error: ${reason}\n`);
  process.kill(process.pid, 'SIGKILL');
}

function memoryOf(values: GroupArray, where: string): Memory {
  checkCount(values.length, where);
  return { address: values.length === 0 ? 0n : (koffi.address(values) as bigint), count: values.length, type: elementType(values) };
}

function checkCount(count: number, where: string): void {
  if (count <= mostElements) return;
  throw new CodaError({
    kind: 'argument',
    where: `${where}: values`,
    problem: 'MPI counts no further',
    expected: `at most ${mostElements} elements`,
    got: String(count),
  });
}

function elementType(values: GroupArray): ElementType {
  if (values instanceof Float32Array) return 'float32';
  if (values instanceof Float64Array) return 'float64';
  if (values instanceof Int32Array) return 'int32';
  if (values instanceof BigInt64Array) return 'int64';
  return 'byte';
}
