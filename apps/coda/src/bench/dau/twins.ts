/** The PyTorch twins of `tools/bench`, in a Python process of their own. They are no part of the installed command: a checkout has them. */
import { CodaError, decodeSafetensors } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchRun } from '../bench.ts';
import type { Contender, Sample } from '../interleave.ts';
import { jsonLinesProcess, type JsonLinesProcess } from '../json-lines-process.ts';
import type { MatmulShape } from '../matmul-peak.ts';
import type { DauWork } from './dau-works.ts';
import type { PreparedWork } from './our-work.ts';
import type { WorkFiles } from './work-files.ts';

/** The same place seen from src and from dist. */
const WORKER = fileURLToPath(new URL('../../../../../tools/bench/dau_worker.py', import.meta.url));

export type TwinForm = 'published' | 'low-rank';
export const twinForms: readonly TwinForm[] = ['published', 'low-rank'];

export interface Twins {
  /** `PyTorch 2.13.0+cpu, Python 3.11.7, 2 threads` */
  readonly description: string;
  work(form: TwinForm, work: DauWork, files: WorkFiles, taps: readonly number[], kind?: 'explain-tap-by-tap'): Promise<PreparedWork>;
  matmul(shape: MatmulShape): Contender;
  /** Bytes: resident after the imports, and the most so far. */
  memory(): Promise<{ readonly baseline: number; readonly peak: number }>;
  close(): Promise<void>;
}

export interface TwinsOptions {
  /** For results; needed for `work` alone. */
  readonly folder?: string;
  /** Default: CODA_PYTHON, else python3. */
  readonly python?: string | undefined;
  readonly threads: number;
}

/** Throws a CodaError of kind `unavailable` where there is no Python with torch and safetensors. */
export async function startTwins({ folder = '', python = process.env['CODA_PYTHON'] ?? 'python3', threads }: TwinsOptions): Promise<Twins> {
  if (!existsSync(WORKER)) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'bench: twins',
      problem: 'the PyTorch twins are in the repository, not in the installed package',
    });
  }
  const worker = jsonLinesProcess(python, [WORKER]);
  const { torch, python: version } = await worker
    .request<{ torch: string; python: string }>('hello', { threads })
    .catch(async (cause: unknown) => {
      await worker.close();
      throw new CodaError({
        kind: 'unavailable',
        where: `bench: ${python}`,
        problem: 'no Python with torch and safetensors',
        got: CodaError.isInstance(cause) ? cause.problem : String(cause),
        hint: 'Name one with --python or CODA_PYTHON.',
        cause,
      });
    });
  let prepared = 0;
  return {
    description: `PyTorch ${torch}, Python ${version}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    work: async (form, work, files, taps, kind) => {
      const name = `${form}-${prepared++}`;
      await worker.request('prepare', { name, form, kind: kind ?? work.kind, ...files, batch: work.batch, taps });
      return {
        name: kind === undefined ? form : `${form}, tap by tap`,
        measure: (repeats) => worker.request<Sample>('measure', { name, repeats }),
        results: () => resultsOf(worker, name, folder),
        release: () => worker.request('release', { name }),
      };
    },
    matmul: (shape) => ({ name: 'torch', measure: (repeats) => worker.request<Sample>('matmul', { ...shape, repeats }) }),
    memory: () => worker.request('memory'),
    close: () => worker.close(),
  };
}

async function resultsOf(worker: JsonLinesProcess, name: string, folder: string): ReturnType<PreparedWork['results']> {
  const path = join(folder, `${name}-results.safetensors`);
  await worker.request('results', { name, path });
  return decodeSafetensors(await readFileBytes(path, { maxBytes: 2 ** 32 }), path).tensors;
}

export type StartTwins = (folder?: string) => Promise<Twins>;

/** How to start the twins; nothing where none are wanted or the default Python has no torch, which is said. Throws where the Python that was asked for has none. */
export async function twinStarter({ python, threads, io }: Pick<BenchRun, 'python' | 'threads' | 'io'>): Promise<StartTwins | undefined> {
  if (python.kind === 'none') return undefined;
  const start: StartTwins = (folder = '') => startTwins({ threads, folder, python: python.kind === 'path' ? python.path : undefined });
  try {
    const twins = await start();
    io.say(`twins: ${twins.description}`);
    await twins.close();
    return start;
  } catch (error) {
    if (!CodaError.isInstance(error) || python.kind === 'path') throw error;
    io.say(`twins: not measured. ${error.message}`);
    return undefined;
  }
}
