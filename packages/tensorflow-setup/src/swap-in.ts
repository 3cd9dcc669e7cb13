/** Puts finished folders where they belong by renaming alone, or leaves everything as it was; one that was killed is undone by the next. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';

const MARK = '.coda-setup-';
/** In a staging folder: what stood where its content goes. */
const OLD = 'old';
/** Home folders are shared by machines, and a process is known by its own alone. */
const host = hostname().replaceAll(/[^\w.-]/g, '_');

/** A new folder beside `target`, thus on the same disk, once what killed setups left there is swept. */
export async function stagingFolder(target: string): Promise<string> {
  const parent = dirname(target);
  await mkdir(parent, { recursive: true });
  await sweepLeftovers(target);
  const folder = join(parent, `.${basename(target)}${MARK}${process.pid}-${randomBytes(4).toString('hex')}-${host}`);
  await mkdir(folder);
  return folder;
}

/** Where `swapIn` puts what it replaces so that, if it is killed, `sweepLeftovers` brings it back. */
export const asideIn = (staging: string): string => join(staging, OLD);

/** Deletes the staging folders beside `target` whose process on this machine is gone, after what they hold of an unfinished swap is back. Returns them. */
export async function sweepLeftovers(target: string): Promise<readonly string[]> {
  const parent = dirname(target);
  const prefix = `.${basename(target)}${MARK}`;
  const swept: string[] = [];
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith(prefix)) continue;
    const [, pid, owner] = /^(\d+)-[0-9a-f]+-(.+)$/.exec(name.slice(prefix.length)) ?? [];
    if (owner !== host || isRunning(Number(pid))) continue;
    const folder = join(parent, name);
    await putBack(asideIn(folder), parent);
    await rm(folder, { recursive: true, force: true });
    swept.push(folder);
  }
  return swept;
}

/** Undoes a swap that was killed: as long as one of the places is empty, all that is in `aside` goes back to `parent`. Returns whether it did. */
export async function putBack(aside: string, parent: string): Promise<boolean> {
  const names = await readdir(aside).catch(() => []);
  if (names.every((name) => existsSync(join(parent, name)))) return false;
  for (const name of names) {
    await rm(join(parent, name), { recursive: true, force: true });
    await rename(join(aside, name), join(parent, name));
  }
  return true;
}

/** Moves what stands in the way to `aside`, last pair first, then renames each pair in order; where one rename fails, all goes back. */
export async function swapIn(pairs: readonly { readonly from: string; readonly to: string }[], aside: string): Promise<void> {
  const undo: (() => Promise<void>)[] = [];
  try {
    for (const { to } of pairs.toReversed()) {
      if (!existsSync(to)) continue;
      const kept = join(aside, basename(to));
      await mkdir(aside, { recursive: true });
      await rename(to, kept);
      undo.push(() => rename(kept, to));
    }
    for (const { from, to } of pairs) {
      await rename(from, to);
      undo.push(() => rename(to, from));
    }
  } catch (error) {
    for (const step of undo.toReversed()) await step();
    throw error;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
