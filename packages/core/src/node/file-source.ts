/** A file on disk, read a part at a time. It stays open, so that a file renamed over it does not mix with it. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { allocateBytes } from '../allocate-bytes.ts';
import type { ByteSource } from '../byte-source.ts';
import { CodaError } from '../errors.ts';

/** What one call reads: far from the most the operating system gives, often enough for progress and for a signal. */
const maxChunk = 1 << 26;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file: a part of the path is no folder',
  EISDIR: 'this is a folder, not a file',
  EACCES: 'no permission to read the file',
  EPERM: 'no permission to read the file',
  EMFILE: 'this process has too many files open',
};

/** Throws a CodaError of kind `unreadable`. */
export async function fileSource(path: string): Promise<ByteSource> {
  let file: FileHandle | undefined;
  try {
    // a pipe would have this wait until somebody writes to it
    const opened = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    file = opened;
    const stats = await file.stat();
    if (stats.isDirectory()) throw unreadable(path, reasons['EISDIR'] as string);
    if (!stats.isFile()) throw unreadable(path, 'this is not a regular file');
    return {
      where: path,
      size: stats.size,
      async read(begin, end, { onBytes, signal, into } = {}) {
        const count = end - begin;
        const bytes = into !== undefined && into.length >= count ? into.subarray(0, count) : allocateBytes(count, path);
        for (let filled = 0; filled < bytes.length;) {
          signal?.throwIfAborted();
          const length = Math.min(maxChunk, bytes.length - filled);
          const { bytesRead } = await opened.read(bytes, filled, length, begin + filled).catch((cause: unknown) => {
            throw unreadableBecause(path, cause);
          });
          if (bytesRead === 0) throw unreadable(path, 'the file became shorter while it was read');
          filled += bytesRead;
          onBytes?.(bytesRead);
        }
        return bytes;
      },
      close: () => opened.close(),
    };
  } catch (cause) {
    await file?.close();
    throw unreadableBecause(path, cause);
  }
}

export function unreadable(where: string, problem: string, expected?: string, got?: string): CodaError {
  return new CodaError({ kind: 'unreadable', where, problem, expected, got });
}

function unreadableBecause(where: string, cause: unknown): CodaError {
  if (CodaError.isInstance(cause)) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  return new CodaError({ kind: 'unreadable', where, problem: reasons[code ?? ''] ?? `could not be read (${code ?? message})`, cause });
}
