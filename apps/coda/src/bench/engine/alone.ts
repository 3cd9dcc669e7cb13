/** What is measured in a fresh Node process, where nothing was compiled or read before: a start, the loading of a file, the memory of a run. */
import { CodaError } from '@coda-nets/core';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { EngineWork } from './engine-works.ts';
import type { WorkFiles } from './work-files.ts';

const CHILD = fileURLToPath(new URL('alone-child.js', import.meta.url));

/** What `alone-child.ts` is asked, and answers. */
export interface AloneRequest {
  readonly kind: Exclude<EngineWork['kind'], 'taps'>;
  readonly batch: number;
  readonly files: WorkFiles;
  readonly engine: string;
  readonly threads: number;
}
export interface AloneAnswer {
  /** Of the start or the loading. */
  readonly ms: number;
  /** The most ever resident, above what the imports took. */
  readonly bytes: number;
}

/** Throws a CodaError of kind `unavailable` where this program runs from source. */
export async function measureAlone(request: AloneRequest): Promise<AloneAnswer> {
  if (!existsSync(CHILD)) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'bench: starts, loading and memory',
      problem: 'measured by the built command alone: pnpm build',
    });
  }
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, JSON.stringify(request)]);
  return JSON.parse(stdout) as AloneAnswer;
}
