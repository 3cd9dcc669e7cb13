/** What an ONNX file takes and gives, and whether the files of its weights are there. */
import { CodaError } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { lstat, realpath } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { MAX_MODEL_BYTES, readModelInfo, type ModelInfo } from '../model-proto.ts';

/**
 * `bytes`: the file itself, without its weights' files. Throws a CodaError of kind `unreadable` or `malformed` that begins with the path; external data that
 * are missing, shorter than their range, or lead out of the folder by a link, are errors too.
 */
export async function readOnnxInfo(path: string): Promise<{ readonly info: ModelInfo; readonly bytes: Uint8Array }> {
  const bytes = await readFileBytes(path, { maxBytes: MAX_MODEL_BYTES });
  const info = readModelInfo(bytes, path);
  const ends = new Map<string, { readonly end: number; readonly tensor: string }>();
  for (const { tensor, location, offset, length } of info.externalData) {
    if (offset + length >= (ends.get(location)?.end ?? 0)) ends.set(location, { end: offset + length, tensor });
  }
  for (const [location, { end, tensor }] of ends) {
    const size = await sizeInside(dirname(path), location, path, tensor);
    if (size >= end) continue;
    throw new CodaError({
      kind: 'malformed',
      where: `${path}: tensor "${tensor}"`,
      problem: `its external data end behind the end of ${location}`,
      expected: `at most ${size}`,
      got: `${end}`,
    });
  }
  return { info, bytes };
}

async function sizeInside(folder: string, location: string, path: string, tensor: string): Promise<number> {
  const refused = (problem: string, cause?: unknown): CodaError =>
    new CodaError({ kind: 'unreadable', where: `${path}: tensor "${tensor}"`, problem: `${problem}: ${location}`, cause });
  const file = join(folder, ...location.split('/'));
  try {
    const [root, real] = [await realpath(folder), await realpath(file)];
    if (!real.startsWith(root.endsWith(sep) ? root : root + sep)) throw refused('its external data are a link out of the folder');
    const stats = await lstat(real);
    if (!stats.isFile()) throw refused('its external data are no file');
    return stats.size;
  } catch (cause) {
    if (CodaError.isInstance(cause)) throw cause;
    throw refused('its external data cannot be read', cause);
  }
}
