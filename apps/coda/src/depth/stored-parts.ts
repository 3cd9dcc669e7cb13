/**
 * Results of long work, kept piece by piece in a folder: a piece is known by everything it depends on, so that a second run takes what is there
 * and computes the rest, whatever else has changed. Nothing is ever overwritten by something else; who wants the space back deletes the folder.
 */
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import type { JsonObject } from '@coda-nets/core';
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Far above any piece: the values of a few grids at every tap. */
const MAX_BYTES = 2 ** 28;

export interface StoredParts {
  /** What is stored under the key, or undefined. A file that is damaged counts as not there. */
  find<T>(key: JsonObject): Promise<T | undefined>;
  /** What is stored under the key; else computes and stores it. Values must be JSON-able. */
  once<T>(key: JsonObject, compute: () => Promise<T>): Promise<T>;
}

export async function storedParts(folder: string): Promise<StoredParts> {
  await mkdir(folder, { recursive: true });
  const find = async <T>(key: JsonObject): Promise<T | undefined> => {
    const text = JSON.stringify(key);
    try {
      const bytes = await readFileBytes(fileOf(folder, text), { maxBytes: MAX_BYTES });
      const part = JSON.parse(new TextDecoder().decode(bytes)) as { readonly key: JsonObject; readonly value: T };
      return JSON.stringify(part.key) === text ? part.value : undefined;
    } catch {
      return undefined;
    }
  };
  return {
    find,
    once: async (key, compute) => {
      const known = await find<Awaited<ReturnType<typeof compute>>>(key);
      if (known !== undefined) return known;
      const value = await compute();
      const text = JSON.stringify(key);
      await writeFileAtomic(fileOf(folder, text), `{"key":${text},"value":${JSON.stringify(value)}}\n`);
      return value;
    },
  };
}

function fileOf(folder: string, key: string): string {
  return join(folder, `${createHash('sha256').update(key).digest('hex').slice(0, 32)}.json`);
}
