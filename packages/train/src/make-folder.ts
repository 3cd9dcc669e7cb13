/** Folders that are made where there is none, and what cannot be written told as one kind of error. */
import { access, constants, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CodaError } from '@coda-nets/core';

/** Makes the folder where there is none. Throws a CodaError where that cannot be, or nothing can be written in it. */
export async function makeFolder(path: string): Promise<void> {
  await orUnavailable(path, mkdirs(path));
  await orUnavailable(path, access(path, constants.W_OK));
}

/** Node's own recursive `mkdir` says ENOENT of a read-only disk, and never ends where folders cannot be made in an existing one (/proc). */
async function mkdirs(path: string): Promise<void> {
  const make = (): Promise<void> =>
    mkdir(path).catch(async (error: unknown) => {
      const isThere = await stat(path).then(
        (found) => found.isDirectory(),
        () => false,
      );
      if (!isThere) throw error;
    });
  try {
    await make();
  } catch (error) {
    const above = dirname(path);
    if (!isMissing(error) || above === path) throw error;
    await mkdirs(above);
    await make();
  }
}

/** The same promise, with the file system's errors as a CodaError of kind `unavailable` that names the path, as `writeFileAtomic` has them. */
export async function orUnavailable<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new CodaError({
      kind: 'unavailable',
      where: path === '' ? '""' : path,
      problem: `could not be written (${code ?? message})`,
      cause,
    });
  }
}

export function isMissing(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}
