/**
 * Results of long work, kept piece by piece in a folder: a piece is known by everything it depends on, so that a second run takes what is there
 * and computes the rest, whatever else has changed. What is damaged is computed anew; nothing else is overwritten; who wants the space back deletes the folder.
 */
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import type { JsonObject } from '@coda-nets/core';
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Far above any piece: the values of a few grids at every tap. */
const MAX_BYTES = 2 ** 28;

export interface StoredParts {
  /** What is stored under the key, or undefined. A file that is damaged, or whose value is not `valid`, counts as not there. */
  find<T>(key: JsonObject, valid?: (value: T) => boolean): Promise<T | undefined>;
  /** What is stored under the key; else computes and stores it. Values must be JSON-able. */
  once<T>(key: JsonObject, compute: () => Promise<T>, valid?: (value: T) => boolean): Promise<T>;
  store(key: JsonObject, value: unknown): Promise<void>;
}

export async function storedParts(folder: string): Promise<StoredParts> {
  await mkdir(folder, { recursive: true });
  const find = async <T>(key: JsonObject, valid: (value: T) => boolean = () => true): Promise<T | undefined> => {
    const text = JSON.stringify(key);
    try {
      const bytes = await readFileBytes(fileOf(folder, text), { maxBytes: MAX_BYTES });
      const part = JSON.parse(new TextDecoder().decode(bytes)) as { readonly key: JsonObject; readonly value: T };
      return JSON.stringify(part.key) === text && valid(part.value) ? part.value : undefined;
    } catch {
      return undefined;
    }
  };
  const store = (key: JsonObject, value: unknown): Promise<void> => {
    const text = JSON.stringify(key);
    return writeFileAtomic(fileOf(folder, text), `{"key":${text},"value":${JSON.stringify(value)}}\n`);
  };
  return {
    find,
    store,
    once: async (key, compute, valid) => {
      const known = await find(key, valid);
      if (known !== undefined) return known;
      const value = await compute();
      await store(key, value);
      return value;
    },
  };
}

function fileOf(folder: string, key: string): string {
  return join(folder, `${createHash('sha256').update(key).digest('hex').slice(0, 32)}.json`);
}
