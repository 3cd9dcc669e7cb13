/** The small file beside a data set that says what was written, so that a second look need not read it all. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@coda-nets/core/node';
import * as v from 'valibot';

export const manifestFile = 'coda-dataset.json';
/** A few files with a line each. */
const maxManifestBytes = 65_536;

const schema = v.object({
  dataset: v.string(),
  /** Which source it came from, for people. */
  source: v.string(),
  files: v.array(
    v.object({
      name: v.string(),
      bytes: v.number(),
      sha256: v.string(),
      /** Modification time when the hash was last true. */
      mtimeMs: v.number(),
    }),
  ),
});

export type DatasetManifest = v.InferOutput<typeof schema>;

/** The manifest of `folder`; undefined where there is none or it says nothing (then everything is checked anew). */
export async function readManifest(folder: string): Promise<DatasetManifest | undefined> {
  try {
    const path = join(folder, manifestFile);
    if ((await stat(path)).size > maxManifestBytes) return undefined;
    const result = v.safeParse(schema, JSON.parse(await readFile(path, 'utf8')));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

/** Records files that were just written or checked. */
export async function writeManifest(
  folder: string,
  dataset: string,
  source: string,
  files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[],
): Promise<void> {
  const manifest: DatasetManifest = {
    dataset,
    source,
    files: await Promise.all(
      files.map(async ({ name, bytes, sha256 }) => ({
        name,
        bytes,
        sha256,
        mtimeMs: (await stat(join(folder, name))).mtimeMs,
      })),
    ),
  };
  await writeFileAtomic(join(folder, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Digest of a file in constant memory. */
export async function hashFile(path: string, algorithm: 'sha256' | 'sha512', encoding: 'hex' | 'base64' = 'hex') {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest(encoding);
}
