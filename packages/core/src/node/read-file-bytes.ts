/** Reads a whole file with a limit on its size and an error that a person can act on. */
import { open, type FileHandle } from 'node:fs/promises';
import { CodaError } from '../errors.ts';

/** The most that one read call of the operating system gives. */
const maxChunk = 1 << 30;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file: a part of the path is no folder',
  EISDIR: 'this is a folder, not a file',
  EACCES: 'no permission to read the file',
  EPERM: 'no permission to read the file',
};

export interface ReadLimits {
  /** A larger file is refused before anything of it is read. */
  readonly maxBytes: number;
}

/** The bytes of the file, in memory of their own. Throws a CodaError of kind `unreadable`. */
export async function readFileBytes(path: string, { maxBytes }: ReadLimits): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const stats = await file.stat();
    if (stats.isDirectory()) throw unreadable(path, reasons['EISDIR'] as string);
    if (!stats.isFile()) throw unreadable(path, 'this is not a regular file');
    if (stats.size > maxBytes) throw unreadable(path, 'the file is too large', `at most ${maxBytes} bytes`, `${stats.size}`);
    const bytes = new Uint8Array(stats.size);
    for (let filled = 0; filled < bytes.length;) {
      const { bytesRead } = await file.read(bytes, filled, Math.min(maxChunk, bytes.length - filled), filled);
      if (bytesRead === 0) throw unreadable(path, 'the file became shorter while it was read');
      filled += bytesRead;
    }
    return bytes;
  } catch (cause) {
    if (CodaError.isInstance(cause)) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const problem = reasons[code ?? ''] ?? `could not be read (${code ?? message})`;
    throw new CodaError({ kind: 'unreadable', where: path, problem, cause });
  } finally {
    await file?.close();
  }
}

function unreadable(where: string, problem: string, expected?: string, got?: string): CodaError {
  return new CodaError({ kind: 'unreadable', where, problem, expected, got });
}
