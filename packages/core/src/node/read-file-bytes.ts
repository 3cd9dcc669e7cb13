/** Reads a whole file with a limit on its size and an error that a person can act on. */
import { fileSource, unreadable } from './file-source.ts';

export interface ReadLimits {
  /** A larger file is refused before anything of it is read. */
  readonly maxBytes: number;
}

/** The bytes of the file, in memory of their own. Throws a CodaError of kind `unreadable`. */
export async function readFileBytes(path: string, { maxBytes }: ReadLimits): Promise<Uint8Array> {
  const file = await fileSource(path);
  try {
    if (file.size > maxBytes) throw unreadable(path, 'the file is too large', `at most ${maxBytes} bytes`, `${file.size}`);
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}
