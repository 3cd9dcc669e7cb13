/**
 * The thread that speaks MPI, started by `mpi-group.ts`: answers one message after the other. Before each call that moves data it waits at a barrier, in a
 * way that leaves the processor to those who still compute, asks whether the job is to be aborted, and gives up after the time-out.
 */
import { CodaError, type ErrorDetails } from '@coda-nets/core';
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { openMpiLibrary, type Memory, type MpiLibrary } from './mpi-library.ts';
import type { LibrarySearch } from './library-paths.ts';

export interface ThreadData extends LibrarySearch {
  /** [0]: other than 0 where the job is to be aborted. */
  readonly signal: Int32Array;
  /** Milliseconds that a rank waits for the others. */
  readonly timeout: number;
  /** For people, of this process: `node7, process 1234`. */
  readonly process: string;
}

export type Work =
  | { readonly kind: 'all-reduce'; readonly memory: Memory; readonly reduction: 'sum' | 'max' | 'min' }
  | { readonly kind: 'broadcast'; readonly memory: Memory; readonly root: number }
  | { readonly kind: 'all-gather'; readonly from: Memory; readonly to: Memory; readonly counts: Int32Array; readonly starts: Int32Array }
  | { readonly kind: 'barrier' }
  | { readonly kind: 'abort' }
  | { readonly kind: 'close' };

export interface Order {
  readonly id: number;
  readonly work: Work;
  readonly label: string;
}

export interface Done {
  readonly id: number;
  /** Milliseconds. */
  readonly waited?: number;
  readonly moved?: number;
  /** Of the first message, of id 0. */
  readonly library?: Pick<MpiLibrary, 'rank' | 'size' | 'path' | 'version'>;
  /** An error loses its class on the way between threads. */
  readonly error?: ErrorDetails;
}

/** So long the processor is kept: the others are about to come. */
const spinMs = 2;
/** Then it is left to them for so long at a time. */
const restMs = 0.2;
/** What an aborted job exits with. */
const abortCode = 1;
/** The others that wait too have so long to say so. */
const graceMs = 2000;

const port = parentPort as NonNullable<typeof parentPort>;
const { signal, timeout, process: own, ...search } = workerData as ThreadData;
const clock = new Int32Array(new SharedArrayBuffer(4));
const rest = (ms: number): void => void Atomics.wait(clock, 0, 0, ms);

let library: MpiLibrary;

/** Waits until all ranks are there. Milliseconds. */
function meet(order: Order): number {
  const begin = performance.now();
  const allHere = library.startBarrier();
  for (;;) {
    if (allHere()) return performance.now() - begin;
    const waited = performance.now() - begin;
    if (Atomics.load(signal, 0) !== 0) end();
    // the first rank may have something to write when the others are done
    if (waited > timeout && order.work.kind !== 'close') giveUp(order, waited);
    if (waited > spinMs) rest(restMs);
  }
}

function giveUp({ work, label }: Order, waited: number): never {
  const { rank, size } = library;
  const seconds = (waited / 1000).toFixed(0);
  writeSync(
    2,
    `error: rank ${rank} of ${size} (${own}) has waited ${seconds} s for other ranks in ${work.kind} "${label}" and aborts the job. ` +
      `A rank that does not say so hangs, or is slower than the time-out (CODA_MPI_TIMEOUT, in seconds).\n`,
  );
  rest(graceMs);
  return end();
}

/** Does not come back: MPI ends this process with all others. */
function end(): never {
  library.abort(abortCode);
  process.kill(process.pid, 'SIGKILL');
  throw new Error('ended');
}

function perform(order: Order): Pick<Done, 'waited' | 'moved'> {
  const { work } = order;
  if (work.kind === 'abort') end();
  const waited = meet(order);
  const begin = performance.now();
  if (work.kind === 'all-reduce') library.allReduce(work.memory, work.reduction);
  if (work.kind === 'broadcast') library.broadcast(work.memory, work.root);
  if (work.kind === 'all-gather') library.allGather(work.from, work.to, work.counts, work.starts);
  if (work.kind === 'close') library.finalise();
  return { waited, moved: performance.now() - begin };
}

function answer(id: number, result: () => Omit<Done, 'id'>): void {
  let done: Done;
  try {
    done = { id, ...result() };
  } catch (error) {
    if (CodaError.isInstance(error)) done = { id, error: error.toJSON() };
    else done = { id, error: { kind: 'unavailable', where: 'the thread of MPI', problem: String(error) } };
  }
  port.postMessage(done);
}

answer(0, () => {
  library = openMpiLibrary(search);
  const { rank, size, path, version } = library;
  return { library: { rank, size, path, version } };
});
port.on('message', (order: Order) => answer(order.id, () => perform(order)));
