/** Starts the Python processes in which PyTorch runs beside ours, where there is a Python for them. Knows nothing of what they run. */
import { CodaError } from '@coda-nets/core';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BenchRun } from './bench.ts';
import { jsonLinesProcess, type JsonLinesProcess } from './json-lines-process.ts';

/** The same place seen from src and from dist. */
const FOLDER = new URL('../../../../tools/bench/', import.meta.url);

export interface TorchWorkerOptions {
  /** Default: CODA_PYTHON, else python3. */
  readonly python?: string | undefined;
  readonly threads: number;
  /** As PyTorch names it: `cpu`, `cuda`, `mps`. Default: the CPU. */
  readonly device?: string | undefined;
}

export interface TorchWorker {
  readonly worker: JsonLinesProcess;
  /** `PyTorch 2.13.0+cpu, Python 3.11.7, 2 threads` */
  readonly description: string;
}

/** Runs a script of `tools/bench`. Throws a CodaError of kind `unavailable` where there is no Python with torch and safetensors. */
export async function startTorchWorker(
  script: string,
  { python = process.env['CODA_PYTHON'] ?? 'python3', threads, device = 'cpu' }: TorchWorkerOptions,
): Promise<TorchWorker> {
  const path = fileURLToPath(new URL(script, FOLDER));
  if (!existsSync(path)) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'bench: twins',
      problem: 'the PyTorch twins are in the repository, not in the installed package',
    });
  }
  const worker = jsonLinesProcess(python, [path]);
  const hello = await worker
    .request<{ torch: string; python: string; device: string }>('hello', { threads, device })
    .catch(async (cause: unknown) => {
      await worker.close();
      throw new CodaError({
        kind: 'unavailable',
        where: `bench: ${python}`,
        problem: `no Python with torch and safetensors${device === 'cpu' ? '' : `, and with ${device}`}`,
        got: CodaError.isInstance(cause) ? cause.problem : String(cause),
        hint: 'Name one with --python or CODA_PYTHON.',
        cause,
      });
    });
  const on = device === 'cpu' ? `${threads} ${threads === 1 ? 'thread' : 'threads'}` : hello.device;
  return { worker, description: `PyTorch ${hello.torch}, Python ${hello.python}, ${on}` };
}

interface Started {
  readonly description: string;
  close(): Promise<void>;
}

/**
 * How to start PyTorch with a folder for its results; nothing where none is wanted or the default Python has no torch, which is said. Throws where the
 * Python that was asked for has none.
 */
export async function torchStarter<T extends Started>(
  { python, io }: Pick<BenchRun, 'python' | 'io'>,
  open: (folder: string, python: string | undefined) => Promise<T>,
): Promise<((folder?: string) => Promise<T>) | undefined> {
  if (python.kind === 'none') return undefined;
  const start = (folder = ''): Promise<T> => open(folder, python.kind === 'path' ? python.path : undefined);
  try {
    const started = await start();
    io.say(`twins: ${started.description}`);
    await started.close();
    return start;
  } catch (error) {
    if (!CodaError.isInstance(error) || python.kind === 'path') throw error;
    io.say(`twins: not measured. ${error.message}`);
    return undefined;
  }
}
