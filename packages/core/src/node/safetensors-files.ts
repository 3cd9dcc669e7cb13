/** Safetensors files on disk. What is inside of them: `safetensors-header.ts`. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { safetensorsPieces } from '../encode-safetensors.ts';
import type { FetchOptions } from '../fetch-source.ts';
import type { NamedArrays } from '../nd-array.ts';
import { openSafetensors as openByUrl, openSource } from '../open-safetensors.ts';
import type { HalfDType } from '../safetensors-dtypes.ts';
import type { SafetensorsFile } from '../safetensors-file.ts';
import { fileSource } from './file-source.ts';
import { writeFileAtomic } from './write-file-atomic.ts';

/** A URL with an authority; a Windows path with its drive is none. */
const url = /^[a-z][a-z0-9+.-]+:\/\//i;

/**
 * `openSafetensors` of `@coda-nets/core`, for paths and `file:` URLs too: opens a safetensors file, or a `model.safetensors.index.json` and the files
 * beside it, and reads the headers. Close the file after use.
 */
export async function openSafetensors(location: string | URL | Blob, options: FetchOptions = {}): Promise<SafetensorsFile> {
  if (location instanceof Blob) return openByUrl(location, options);
  const isUrl = location instanceof URL || url.test(location);
  if (isUrl && new URL(location).protocol !== 'file:') return openByUrl(location, options);
  const path = isUrl ? fileURLToPath(location) : location;
  return openSource(await fileSource(path), (name) => fileSource(join(dirname(path), name)), options.signal);
}

/**
 * Writes what `encodeSafetensors` encodes, atomically, without a second copy of the arrays in memory: float32 arrays that `halves` names are rounded to
 * F16 or BF16. Throws a CodaError that begins with the path; then what was there is there still.
 */
export async function writeSafetensors(
  path: string,
  tensors: NamedArrays,
  metadata: Readonly<Record<string, string>> = {},
  halves: Readonly<Record<string, HalfDType>> = {},
): Promise<void> {
  await writeFileAtomic(path, safetensorsPieces(tensors, metadata, halves, path).pieces);
}
