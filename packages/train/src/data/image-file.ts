/** One encoded image in a file or in a part of one (a member of a tar archive), as plain data that a worker thread can open. Decodes nothing. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { CodaError } from '@coda-nets/core';

export interface ImageFile {
  /** For people, and in fingerprints: relative to the data set, of a member with its archive. */
  readonly name: string;
  readonly path: string;
  /** Where it begins in the file. */
  readonly offset: number;
  readonly bytes: number;
  /** When the file was last changed, modification and status: a restored modification time does not hide a change. */
  readonly touched: string;
  /** Set where it cannot be what it should be, and why: it is not opened. */
  readonly refused?: string;
}

/** A photograph of 80 megapixels without compression; the file is read into memory whole. */
const maxImageBytes = 256 * 2 ** 20;

/** Throws a CodaError of kind `unreadable` that names the image where it is not there any more, was cut or is no regular file. */
export function readImageFile({ name, path, offset, bytes, refused }: ImageFile): Uint8Array {
  if (refused !== undefined) throw new CodaError({ kind: 'malformed', where: name, problem: refused });
  if (bytes > maxImageBytes) {
    throw new CodaError({
      kind: 'unsupported',
      where: name,
      problem: 'the file is too large',
      expected: `at most ${maxImageBytes} bytes`,
      got: `${bytes}`,
    });
  }
  let file: number | undefined;
  try {
    // a pipe put in the place of an image must not hang a reader
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new CodaError({ kind: 'unreadable', where: name, problem: 'not a regular file' });
    const data = new Uint8Array(bytes);
    for (let filled = 0; filled < bytes;) {
      const read = readSync(file, data, filled, bytes - filled, offset + filled);
      if (read === 0) {
        throw new CodaError({
          kind: 'unreadable',
          where: name,
          problem: 'the file became shorter',
          expected: `${offset + bytes} bytes`,
          got: `${stats.size}`,
        });
      }
      filled += read;
    }
    return data;
  } catch (cause) {
    if (CodaError.isInstance(cause)) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    const problem = code === 'ENOENT' ? 'the file is missing' : `cannot be read (${code ?? String(cause)})`;
    throw new CodaError({ kind: 'unreadable', where: name, problem, cause });
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
