/** Puts finished folders where they belong by renaming alone, or leaves everything as it was. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const MARK = '.coda-setup-';

/** A new folder beside `target`, thus on the same disk. What setups that were killed left there goes. */
export async function stagingFolder(target: string): Promise<string> {
  const parent = dirname(target);
  await mkdir(parent, { recursive: true });
  const ours = `.${basename(target)}${MARK}`;
  for (const name of await readdir(parent)) {
    const owner = name.startsWith(ours) ? Number(name.slice(ours.length).split('-', 1)[0]) : undefined;
    if (owner !== undefined && !isRunning(owner)) await rm(join(parent, name), { recursive: true, force: true });
  }
  const folder = join(parent, `${ours}${process.pid}-${randomBytes(4).toString('hex')}`);
  await mkdir(folder);
  return folder;
}

/** Renames each pair in order. What stood in the way moves to `aside`, or, where one rename fails, back. */
export async function swapIn(pairs: readonly { readonly from: string; readonly to: string }[], aside: string): Promise<void> {
  const undo: (() => Promise<void>)[] = [];
  try {
    for (const { from, to } of pairs) {
      if (existsSync(to)) {
        const kept = join(aside, basename(to));
        await mkdir(aside, { recursive: true });
        await rename(to, kept);
        undo.push(() => rename(kept, to));
      }
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
