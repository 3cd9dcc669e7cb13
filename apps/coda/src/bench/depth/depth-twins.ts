/** The PyTorch side of `coda bench depth` (tools/bench/depth_worker.py), in a Python process of its own. A checkout has it, the installed command does not. */
import { CodaError, decodeSafetensors, type JsonObject, type NamedArrays } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchRun } from '../bench.ts';
import type { Contender, Sample } from '../interleave.ts';
import { jsonLinesProcess } from '../json-lines-process.ts';

/** The same place seen from src and from dist. */
const WORKER = fileURLToPath(new URL('../../../../../tools/bench/depth_worker.py', import.meta.url));

export interface DepthWorkFiles {
  /** Safetensors: the weights; the config as JSON in the metadata. */
  readonly network: string;
  /** Safetensors: grids [G, H, W, 3], classes [G, n²], images [N, h, w, 3], labels [N]. */
  readonly data: string;
}

export interface PreparedDepthWork extends Contender {
  /** What one run gives, to be asked for before any measuring. */
  results(): Promise<NamedArrays>;
  release(): Promise<void>;
}

export interface DepthTwins {
  readonly description: string;
  prepare(name: string, kind: string, files: DepthWorkFiles, parameters: JsonObject): Promise<PreparedDepthWork>;
  close(): Promise<void>;
}

/** Nothing where none is wanted, or the default Python has no torch, which is said. Throws a CodaError where the Python that was asked for has none. */
export async function depthTwins(
  { python, threads, io }: Pick<BenchRun, 'python' | 'threads' | 'io'>,
  folder: string,
): Promise<DepthTwins | undefined> {
  if (python.kind === 'none') return undefined;
  const command = python.kind === 'path' ? python.path : (process.env['CODA_PYTHON'] ?? 'python3');
  try {
    return await started(command, threads, folder);
  } catch (error) {
    if (!CodaError.isInstance(error) || python.kind === 'path') throw error;
    io.say(`twins: not measured. ${error.message}`);
    return undefined;
  }
}

async function started(command: string, threads: number, folder: string): Promise<DepthTwins> {
  if (!existsSync(WORKER)) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'bench: twins',
      problem: 'the PyTorch twins are in the repository, not in the installed package',
    });
  }
  const worker = jsonLinesProcess(command, [WORKER]);
  const versions = await worker.request<{ torch: string; python: string }>('hello', { threads }).catch(async (cause: unknown) => {
    await worker.close();
    throw new CodaError({
      kind: 'unavailable',
      where: `bench: ${command}`,
      problem: 'no Python with torch and safetensors',
      got: CodaError.isInstance(cause) ? cause.problem : String(cause),
      hint: 'Name one with --python or CODA_PYTHON.',
      cause,
    });
  });
  return {
    description: `PyTorch ${versions.torch}, Python ${versions.python}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    prepare: async (name, kind, files, parameters) => {
      await worker.request('prepare', { name, kind, ...files, parameters });
      return {
        name,
        measure: (repeats) => worker.request<Sample>('measure', { name, repeats }),
        results: async () => {
          const path = join(folder, 'twin-results.safetensors');
          await worker.request('results', { name, path });
          return decodeSafetensors(await readFileBytes(path, { maxBytes: 2 ** 30 }), path).tensors;
        },
        release: () => worker.request('release', { name }),
      };
    },
    close: () => worker.close(),
  };
}
