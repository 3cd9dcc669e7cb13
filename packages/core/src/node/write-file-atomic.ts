/** Writes a file so that a reader, or a machine that loses power, sees the old file or the new one and nothing between. */
import { randomBytes } from 'node:crypto';
import { open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CodaError } from '../errors.ts';

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'the folder does not exist',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'this is a folder',
  EACCES: 'no permission to write there',
  EPERM: 'no permission to write there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
};

/**
 * Writes beside, flushes to the disk, renames, flushes the folder. `bytes` may come in pieces. Throws a CodaError of kind `unavailable`, or the one that
 * the pieces end with; then `path` is as it was.
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array | string | Iterable<Uint8Array>): Promise<void> {
  let beside: string | undefined;
  try {
    // Where a link leads, so that the link stays one.
    const target = await realpath(path).catch(() => path);
    const there = await stat(target).catch(() => undefined);
    // a device or a pipe would be replaced by a file
    if (there !== undefined && !there.isFile() && !there.isDirectory()) {
      throw new CodaError({ kind: 'unavailable', where: path, problem: 'this is not a regular file, and would become one' });
    }
    const mode = there === undefined ? 0o666 : there.mode & 0o777;
    // of its own, so that two writers do not meet, wherever they run
    const temporary = `${target}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
    const file = await open(temporary, 'wx', mode);
    beside = temporary;
    try {
      await writeFile(file, bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    await syncFolder(dirname(target));
  } catch (cause) {
    if (beside !== undefined) await rm(beside, { force: true }).catch(() => undefined);
    if (CodaError.isInstance(cause)) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const problem = reasons[code ?? ''] ?? `could not be written (${code ?? message})`;
    throw new CodaError({ kind: 'unavailable', where: path, problem, cause });
  }
}

/** Makes renames in a folder durable. Windows cannot open a folder, and needs no such thing. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
