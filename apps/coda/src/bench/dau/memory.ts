/** Peak memory of one piece of work, each contender in a fresh process: the most ever resident, less what the imports alone took. */
import { CodaError } from '@coda-nets/core';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { DauWork } from './dau-works.ts';
import type { TwinForm, Twins } from './twins.ts';
import type { WorkFiles } from './work-files.ts';

/** Runs in each process: the second one meets buffers that the first one left. */
export const MEMORY_RUNS = 2;

const CHILD = fileURLToPath(new URL('memory-child.js', import.meta.url));

export interface PeakMemory {
  readonly name: string;
  /** Above the imports. */
  readonly bytes: number;
}

/** What `memory-child.ts` is asked, and answers. */
export interface MemoryRequest {
  readonly work: Pick<DauWork, 'kind' | 'batch' | 'taps'>;
  readonly files: WorkFiles;
  readonly engine: string;
  readonly threads: number;
}
export interface MemoryAnswer {
  readonly baseline: number;
  readonly peak: number;
}

/** Ours, in a Node process. Throws a CodaError of kind `unavailable` where this program runs from source. */
export async function ourPeak(request: MemoryRequest): Promise<PeakMemory> {
  if (!existsSync(CHILD)) {
    throw new CodaError({ kind: 'unavailable', where: 'bench: memory', problem: 'measured by the built command alone: pnpm build' });
  }
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, JSON.stringify(request)]);
  const { baseline, peak } = JSON.parse(stdout) as MemoryAnswer;
  return { name: `ours (${request.engine})`, bytes: peak - baseline };
}

/** A twin's, in a Python process that was started for this, which is closed. */
export async function twinPeak(
  twins: Twins,
  form: TwinForm,
  work: DauWork,
  files: WorkFiles,
  taps: readonly number[],
): Promise<PeakMemory> {
  try {
    const prepared = await twins.work(form, work, files, taps);
    await prepared.measure(MEMORY_RUNS);
    const { baseline, peak } = await twins.memory();
    return { name: form, bytes: peak - baseline };
  } finally {
    await twins.close();
  }
}
