/** A session on a thread of its own, so that the caller's thread goes on while it computes. */
import { CodaError, type NamedArrays } from '@coda-nets/core';
import { Worker } from 'node:worker_threads';
import type { Fallbacks } from './fallbacks.ts';
import type { OnnxSession, SessionPlan } from './onnx-session.ts';

export interface Question {
  readonly id: number;
  readonly method: keyof OnnxSession;
  readonly inputs: NamedArrays;
}

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: unknown;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Arrays are copied on their way to the thread and back. The thread ends with the session, and keeps no process alive that has nothing else to do. */
export async function openInThread(plan: SessionPlan): Promise<OnnxSession> {
  // the compiled file, from source as well, and without the flags of a process that runs from source: a thread reads no TypeScript
  const worker = new Worker(new URL('../dist/session-thread.js', import.meta.url), { workerData: plan, execArgv: [] });
  const waiting = new Map<number, Waiting>();
  let ended: CodaError | undefined;
  let asked = 0;

  const end = (cause: unknown): void => {
    ended ??= new CodaError({ kind: 'unavailable', where: 'engine onnxruntime', problem: 'the thread of the session has ended', cause });
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  };
  worker.on('message', ({ id, value, error }: Answer) => {
    const call = waiting.get(id);
    waiting.delete(id);
    if (waiting.size === 0) worker.unref();
    if (error === undefined) call?.resolve(value);
    else call?.reject(error);
  });
  worker.on('error', end);
  worker.on('exit', end);
  const answered = (id: number): Promise<unknown> =>
    new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      worker.ref();
    });
  const ask = (method: Question['method'], inputs: NamedArrays = {}): Promise<unknown> => {
    if (ended !== undefined) return Promise.reject(ended);
    const answer = answered(++asked);
    try {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread of Node has no origin
      worker.postMessage({ id: asked, method, inputs } satisfies Question);
    } catch (cause) {
      // what cannot be copied to a thread: a buffer that was given away, a function
      waiting.get(asked)?.reject(
        new CodaError({
          kind: 'argument',
          where: `${method}: inputs`,
          problem: `cannot be copied to the thread: ${String(cause)}`,
          cause,
        }),
      );
      waiting.delete(asked);
      if (waiting.size === 0) worker.unref();
    }
    return answer;
  };

  try {
    await answered(0);
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  return {
    run: (inputs) => ask('run', inputs) as Promise<NamedArrays>,
    carried: () => ask('carried') as Promise<NamedArrays>,
    fallbacks: () => ask('fallbacks') as Promise<Fallbacks | undefined>,
    release: async () => {
      try {
        await ask('release');
      } finally {
        await worker.terminate();
      }
    },
  };
}
