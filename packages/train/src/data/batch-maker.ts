/** Makes batches beside the caller, in worker threads, or where it is called with none of them. What a batch is: `make-batch.ts`. */
import { availableParallelism } from 'node:os';
import { Tinypool } from 'tinypool';
import { CodaError } from '@coda-nets/core';
import { makeBatch, type BatchTask, type MadeBatch } from './make-batch.ts';

export interface BatchMaker {
  /** How many threads there are: so many batches may be asked for at a time before one waits. */
  readonly workers: number;
  make(task: BatchTask): Promise<MadeBatch>;
  dispose(): Promise<void>;
}

/** More feed no training that runs on the same machine. */
const mostWorkers = 16;
/** A worker that waits this long for work ends. */
const idleMs = 60_000;

/** Worker threads for images in files: one for each processor but one, which the step has. */
export function defaultWorkers(): number {
  return Math.min(mostWorkers, Math.max(1, availableParallelism() - 1));
}

/** Threads start with the first batch. Dispose it after use. */
export function batchMaker(workers: number): BatchMaker {
  if (!Number.isInteger(workers) || workers < 0 || workers > 256) {
    throw new CodaError({
      kind: 'argument',
      where: 'batchMaker: workers',
      problem: 'not a number of worker threads',
      expected: 'an integer from 0 to 256',
      got: String(workers),
    });
  }
  let pool: Tinypool | undefined;
  const started = (): Tinypool =>
    (pool ??= new Tinypool({
      // the same file from source and built
      filename: new URL(import.meta.url.endsWith('.ts') ? 'batch-worker.ts' : 'batch-worker.js', import.meta.url).href,
      name: 'makeBatch',
      minThreads: workers,
      maxThreads: workers,
      idleTimeout: idleMs,
    }));
  return {
    workers,
    make: async (task) => {
      if (workers === 0) return makeBatch(task);
      try {
        return (await started().run(task)) as MadeBatch;
      } catch (cause) {
        throw failed(cause);
      }
    },
    dispose: async () => {
      await pool?.destroy();
      pool = undefined;
    },
  };
}

/** An error loses its class on the way between threads; its text stays. */
function failed(cause: unknown): CodaError {
  if (CodaError.isInstance(cause)) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new CodaError({ kind: 'unavailable', where: 'batchMaker', problem: `a worker thread failed (${message})`, cause });
}
