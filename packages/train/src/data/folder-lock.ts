/** One process at a time in a folder. A lock whose owner died is taken over. */
import { CodaError } from '@coda-nets/core';
import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FolderLockOptions {
  /** Called once when another process is in the folder and this one waits. */
  readonly onWait?: (() => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly pollMs?: number;
}

const lockFile = '.lock';
/** An owner touches its lock this often. */
const heartbeatMs = 5000;
/** A lock of another machine, whose processes cannot be asked, belongs to nobody when it was untouched for this long. */
const staleMs = 60_000;
/** The locks that this process holds: a restarted container may give a dead owner's process number to its successor. */
const heldHere = new Set<string>();

/** Runs `work` while holding the lock of `folder`, which exists. */
export async function withFolderLock<T>(
  folder: string,
  work: () => Promise<T>,
  { onWait, signal, pollMs = 300 }: FolderLockOptions = {},
): Promise<T> {
  const path = join(folder, lockFile);
  const mark = `${JSON.stringify({ pid: process.pid, host: hostname(), nonce: randomBytes(8).toString('hex') })}\n`;
  for (let waited = false; !(await take(path, mark));) {
    if (await releaseIfDead(path)) continue;
    if (!waited) onWait?.();
    waited = true;
    await sleep(pollMs, undefined, { signal });
  }
  heldHere.add(mark);
  const heartbeat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), heartbeatMs);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    heldHere.delete(mark);
    if ((await readFile(path, 'utf8').catch(() => '')) === mark) await rm(path, { force: true });
  }
}

/** Written beside and linked, so that a lock is never seen without its owner. Throws a CodaError where that cannot be. */
async function take(path: string, mark: string): Promise<boolean> {
  const beside = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = await open(beside, 'wx');
    try {
      await file.writeFile(mark);
    } finally {
      await file.close();
    }
    await link(beside, path);
    return true;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    const problem = code === 'ENOSPC' ? 'the disk is full' : `could not be written (${code ?? message})`;
    throw new CodaError({ kind: 'unavailable', where: path, problem, cause });
  } finally {
    await rm(beside, { force: true });
  }
}

/** Whether a lock without a living owner was removed. */
async function releaseIfDead(path: string): Promise<boolean> {
  const seen = await readFile(path, 'utf8').catch(() => undefined);
  const touched = await stat(path).catch(() => undefined);
  if (seen === undefined || touched === undefined) return true;
  if (isAlive(seen, touched.mtimeMs)) return false;
  const aside = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.dead`;
  try {
    await rename(path, aside);
  } catch {
    return true;
  }
  // Somebody else may have been faster, and what was moved is a living lock: it goes back.
  if ((await readFile(aside, 'utf8').catch(() => seen)) !== seen) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
  return true;
}

/** On this machine the process is asked: one that was stopped, or computes without a pause, is silent and alive. */
function isAlive(mark: string, touchedMs: number): boolean {
  let owner: { pid?: unknown; host?: unknown } | null;
  try {
    owner = JSON.parse(mark) as typeof owner;
  } catch {
    return false;
  }
  if (owner?.host !== hostname() || typeof owner.pid !== 'number') return Date.now() - touchedMs < staleMs;
  if (owner.pid === process.pid) return heldHere.has(mark);
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
