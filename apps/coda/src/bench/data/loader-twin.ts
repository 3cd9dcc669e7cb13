/** The DataLoader of `tools/bench/data_worker.py`, in a Python process of its own. A checkout has it, the installed command has not. */
import { CodaError } from '@coda-nets/core';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BenchRun } from '../bench.ts';
import type { Contender, Sample } from '../interleave.ts';
import { jsonLinesProcess } from '../json-lines-process.ts';

/** The same place seen from src and from dist. */
const WORKER = fileURLToPath(new URL('../../../../../tools/bench/data_worker.py', import.meta.url));

interface LoaderWork {
  readonly root: string;
  readonly kind: 'train' | 'evaluate';
  readonly side: number;
  readonly batch: number;
  readonly workers: number;
}

export interface LoaderTwin {
  readonly description: string;
  contender(work: LoaderWork): Promise<Contender>;
  close(): Promise<void>;
}

/** Undefined where none is wanted or the default Python cannot run it, which is said. Throws where the Python that was asked for cannot. */
export async function startLoaderTwin({ python, io }: Pick<BenchRun, 'python' | 'io'>): Promise<LoaderTwin | undefined> {
  if (python.kind === 'none') return undefined;
  if (!existsSync(WORKER)) {
    io.say('twin: not measured. It is in the repository, not in the installed package');
    return undefined;
  }
  const command = python.kind === 'path' ? python.path : (process.env['CODA_PYTHON'] ?? 'python3');
  const worker = jsonLinesProcess(command, [WORKER]);
  try {
    const versions = await worker.request<{ torch: string; pillow: string; python: string }>('hello');
    return {
      description: `PyTorch ${versions.torch}, Pillow ${versions.pillow}, Python ${versions.python}`,
      contender: async (work) => {
        await worker.request('prepare', { name: work.kind, ...work });
        return { name: 'PyTorch', measure: (repeats) => worker.request<Sample>('measure', { name: work.kind, repeats }) };
      },
      close: () => worker.close(),
    };
  } catch (cause) {
    await worker.close();
    if (!CodaError.isInstance(cause)) throw cause;
    const error = new CodaError({
      kind: 'unavailable',
      where: `bench: ${command}`,
      problem: 'no Python with torch, numpy and Pillow',
      got: cause.problem,
      hint: 'Name one with --python or CODA_PYTHON.',
      cause,
    });
    if (python.kind === 'path') throw error;
    io.say(`twin: not measured. ${error.message}`);
    return undefined;
  }
}
