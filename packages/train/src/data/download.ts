/**
 * Downloads a file of known size into a part file and goes on from what is already there. It does not judge the bytes:
 * the caller hashes.
 */
import { open, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodaError } from '@coda-nets/core';

export interface DownloadOptions {
  readonly url: string;
  /** Kept when the download fails, so that a later call goes on from it. */
  readonly part: string;
  /** The size of the whole file: more is refused, less is a cut connection. */
  readonly bytes: number;
  /** Until the server answers. */
  readonly connectMs?: number;
  /** Without a byte until the connection counts as cut. */
  readonly stallMs?: number;
  /** Pause before going on after a cut; doubled each time in a row without progress. */
  readonly pauseMs?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((received: number) => void) | undefined;
}

/** Tries in a row that bring no new byte. */
const maxIdleTries = 4;
/** Tries in all: against a server that gives a few bytes and hangs up, for ever. */
const maxTries = 200;

/** What one try came to: everything is there, or the reason why it ended early and may be repeated. */
type Try = { readonly done: true } | { readonly done: false; readonly reason: string; readonly answered: boolean };

/**
 * @throws CodaError `unavailable` where the server cannot be reached or refuses, `mismatch` where the file has another
 * size.
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { url, part, bytes, pauseMs = 500, signal } = options;
  let idle = 0;
  for (let tries = 1; ; tries++) {
    const before = await sizeOfPart(part);
    const result = await tryOnce(options, before);
    if (result.done) return;
    const received = await sizeOfPart(part);
    idle = received > before ? 0 : idle + 1;
    // A server that never answered is not asked again: another source may be near.
    if ((!result.answered && received === before && idle === tries) || idle >= maxIdleTries || tries >= maxTries) {
      throw new CodaError({
        kind: 'unavailable',
        where: url,
        problem: `the download failed: ${result.reason}`,
        hint: received > 0 ? `${received} of ${bytes} bytes are kept and the next call goes on from there.` : undefined,
      });
    }
    await sleep(Math.min(8000, pauseMs * 2 ** idle), undefined, { signal });
  }
}

async function tryOnce(options: DownloadOptions, kept: number): Promise<Try> {
  const { url, part, bytes, connectMs = 6000, stallMs = 30_000, signal, onBytes } = options;
  if (kept === bytes) return { done: true };
  if (kept > bytes) {
    await rm(part, { force: true });
    kept = 0;
  }
  const watchdog = new AbortController();
  let reason = `no answer within ${connectMs / 1000} s`;
  let timer = setTimeout(() => watchdog.abort(), connectMs);
  let answered = false;
  try {
    const response = await fetch(url, {
      headers: { 'accept-encoding': 'identity', ...(kept > 0 ? { range: `bytes=${kept}-` } : {}) },
      signal: signal === undefined ? watchdog.signal : AbortSignal.any([signal, watchdog.signal]),
    });
    answered = true;
    const start = response.status === 206 ? kept : 0;
    const refusal = refusalOf(response, kept, bytes);
    if (refusal !== undefined || response.body === null) {
      await response.body?.cancel();
      if (refusal?.restart === true) await rm(part, { force: true });
      if (refusal?.error !== undefined) throw refusal.error(url);
      return { done: false, reason: refusal?.reason ?? 'an answer without content', answered };
    }
    reason = `no data for ${stallMs / 1000} s`;
    const file = await open(part, start > 0 ? 'r+' : 'w');
    let position = start;
    try {
      for await (const chunk of response.body) {
        clearTimeout(timer);
        timer = setTimeout(() => watchdog.abort(), stallMs);
        if (position + chunk.length > bytes) {
          await rm(part, { force: true });
          throw wrongSize(url, bytes, 'more');
        }
        await file.write(chunk, 0, chunk.length, position);
        position += chunk.length;
        onBytes?.(position);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    if (position === bytes) return { done: true };
    return { done: false, reason: `the connection ended after ${position} of ${bytes} bytes`, answered };
  } catch (error) {
    if (CodaError.isInstance(error)) throw error;
    if (signal?.aborted === true) throw signal.reason;
    if (isFileError(error)) throw error;
    return { done: false, reason: watchdog.signal.aborted ? reason : describe(error), answered };
  } finally {
    clearTimeout(timer);
  }
}

interface Refusal {
  readonly reason: string;
  /** What is kept does not fit what the server has. */
  readonly restart?: boolean;
  /** Not worth a second try. */
  readonly error?: (url: string) => CodaError;
}

function refusalOf(response: Response, kept: number, bytes: number): Refusal | undefined {
  const { status, headers } = response;
  const reason = `the server answered ${status}`;
  if (status === 416) return { reason, restart: true };
  if (status === 429 || status >= 500) return { reason };
  if (status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
    const fits = range !== null && Number(range[1]) === kept && (range[2] === '*' || Number(range[2]) === bytes);
    return fits ? undefined : { reason: `${reason} with another range than was asked for`, restart: true };
  }
  if (status !== 200) {
    const error = (url: string) => new CodaError({ kind: 'unavailable', where: url, problem: `the download failed: ${reason}` });
    return { reason, error };
  }
  const length = headers.get('content-length');
  if (length !== null && headers.get('content-encoding') === null && Number(length) !== bytes) {
    return { reason, error: (url) => wrongSize(url, bytes, length) };
  }
  return undefined;
}

function wrongSize(url: string, bytes: number, got: string): CodaError {
  return new CodaError({
    kind: 'mismatch',
    where: url,
    problem: 'the file does not have the known size',
    expected: `${bytes} bytes`,
    got,
  });
}

async function sizeOfPart(part: string): Promise<number> {
  return stat(part).then(
    ({ size }) => size,
    () => 0,
  );
}

function isFileError(error: unknown): boolean {
  const { syscall } = error as NodeJS.ErrnoException;
  return syscall === 'open' || syscall === 'write' || syscall === 'fsync';
}

/** The innermost message: fetch itself only says "fetch failed". */
function describe(error: unknown): string {
  const { cause, message } = error as Error;
  if (cause instanceof Error) return (cause as NodeJS.ErrnoException).code ?? cause.message;
  return message;
}
