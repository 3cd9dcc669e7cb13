/** The model file that a hybrid's stem comes from: as a config names it, and as it is found again. */
import { CodaError } from '@coda-nets/core';
import type { TrainConfig } from '@coda-nets/train';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Begins the name of a model that comes along with the command, wherever that is installed. */
const shipped = 'shipped:';

type StemFile = NonNullable<TrainConfig['stem']>;

/** Where the file is on this machine. */
export function stemPath({ path }: StemFile): string {
  return path.startsWith(shipped) ? fileURLToPath(new URL(`../models/${path.slice(shipped.length)}`, import.meta.url)) : path;
}

/** The stem with the hash that its file has. Throws a CodaError where there is none, or it has another hash than `stem` says. `where`: who says so. */
export async function checkedStem(stem: StemFile, where: string): Promise<StemFile> {
  const sha256 = await hashOf(stemPath(stem), where);
  if (stem.sha256 === undefined || stem.sha256 === sha256) return { path: stem.path, sha256 };
  throw new CodaError({
    kind: 'mismatch',
    where: `${where}: stem: ${stem.path}`,
    problem: 'the file is another one than the stem was taken from',
    expected: `sha256 ${stem.sha256}`,
    got: sha256,
    hint: 'Name the file that it was, or another one, with --stem.',
  });
}

async function hashOf(path: string, where: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  } catch (cause) {
    throw new CodaError({
      kind: 'unavailable',
      where: `${where}: stem: ${path}`,
      problem: `could not be read (${(cause as NodeJS.ErrnoException).code ?? (cause as Error).message})`,
      hint: 'Say where the file is with --stem.',
      cause,
    });
  }
  return hash.digest('hex');
}
