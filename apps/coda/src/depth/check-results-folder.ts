/** Whether an analysis may go into a folder: results of other models, or of another version, are not written over. */
import { CodaError } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { DEPTH_SCHEMA_VERSION } from './depth-results.ts';
import type { DepthModel } from './depth-work.ts';

/** Thousands of grids of some models at all taps. */
const MAX_BYTES = 2 ** 30;

/** Throws a CodaError for a results.json that has no model in common with this call by name or by content, is of another schema, or is none. */
export async function checkResultsFolder(out: string, models: readonly Pick<DepthModel, 'name' | 'sha256'>[]): Promise<void> {
  const path = join(out, 'results.json');
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (!there) return;
  const hint = 'Choose another --out, or delete that file.';
  const stored = resultsOf(await readFileBytes(path, { maxBytes: MAX_BYTES }));
  if (stored === undefined) {
    throw new CodaError({ kind: 'malformed', where: path, problem: 'not results of coda depth', hint });
  }
  if (stored.schemaVersion !== DEPTH_SCHEMA_VERSION) {
    throw new CodaError({
      kind: 'mismatch',
      where: path,
      problem: 'written by another version of coda depth',
      expected: `schemaVersion ${DEPTH_SCHEMA_VERSION}`,
      got: JSON.stringify(stored.schemaVersion),
      hint,
    });
  }
  const known = stored.models.some(({ name, sha256 }) => models.some((model) => model.name === name || model.sha256 === sha256));
  if (known) return;
  throw new CodaError({
    kind: 'mismatch',
    where: path,
    problem: 'results of other models',
    expected: models.map(({ name }) => name).join(', '),
    got: stored.models.map(({ name }) => name).join(', '),
    hint,
  });
}

/** What identifies them; undefined for anything else. */
function resultsOf(bytes: Uint8Array) {
  try {
    const { schemaVersion, models } = JSON.parse(new TextDecoder().decode(bytes)) as {
      readonly schemaVersion: unknown;
      readonly models: readonly { readonly name: string; readonly sha256: string }[];
    };
    const named = Array.isArray(models) && models.every(({ name, sha256 }) => typeof name === 'string' && typeof sha256 === 'string');
    return schemaVersion === undefined || !named ? undefined : { schemaVersion, models };
  } catch {
    return undefined;
  }
}
