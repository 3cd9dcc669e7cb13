/** A piece of work that is ready to be measured, here or in another process. What it is, each bench knows. */
import { decodeSafetensors, type NamedArrays } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { join } from 'node:path';
import type { Contender, Sample } from './interleave.ts';
import type { JsonLinesProcess } from './json-lines-process.ts';

const MAX_BYTES = 2 ** 32;

export interface PreparedWork extends Contender {
  /** What one run gives, to be asked for before any measuring: `logits`, or `loss` and `gradient/<weight>` of the first step, or `map/<tap>`. */
  results(): Promise<NamedArrays>;
  release(): Promise<void>;
}

export interface WorkOfWorkerOptions {
  /** That it has been prepared under. */
  readonly name: string;
  /** In reports. Default the name. */
  readonly label?: string;
  /** For results. */
  readonly folder: string;
}

/** Work that a worker in another process has prepared, which answers as measured_works.py in `tools/bench` does. */
export function workOfWorker(worker: JsonLinesProcess, { name, label = name, folder }: WorkOfWorkerOptions): PreparedWork {
  return {
    name: label,
    measure: (repeats) => worker.request<Sample>('measure', { name, repeats }),
    results: async () => {
      const path = join(folder, `${name.replaceAll(' ', '-')}-results.safetensors`);
      await worker.request('results', { name, path });
      return decodeSafetensors(await readFileBytes(path, { maxBytes: MAX_BYTES }), path).tensors;
    },
    release: () => worker.request('release', { name }),
  };
}
