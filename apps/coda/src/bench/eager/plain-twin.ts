/** The same training with tfjs-node alone, by `plain-child.ts` in a process of its own: what kernels and gradients are there is global to a process. */
import { fileURLToPath } from 'node:url';
import { jsonLinesProcess } from '../json-lines-process.ts';
import { workOfWorker, type PreparedWork } from '../prepared-work.ts';
import type { EagerWork } from './eager-works.ts';

/** Beside this file, from source as built. */
const CHILD = fileURLToPath(import.meta.url.replace('plain-twin', 'plain-child'));

export interface PlainTwin {
  readonly description: string;
  work(work: EagerWork, seed: number): Promise<PreparedWork>;
  close(): Promise<void>;
}

export const PLAIN = 'tfjs-node alone';

/** `folder`: for results. Throws a CodaError of kind `unavailable` where TensorFlow is not set up. */
export async function startPlainTwin(folder: string): Promise<PlainTwin> {
  const worker = jsonLinesProcess(process.execPath, [...process.execArgv, CHILD]);
  try {
    const { description } = await worker.request<{ description: string }>('hello');
    return {
      description,
      work: async (work, seed) => {
        await worker.request('prepare', { ...work, name: work.id, seed });
        return workOfWorker(worker, { name: work.id, label: PLAIN, folder });
      },
      close: () => worker.close(),
    };
  } catch (error) {
    await worker.close();
    throw error;
  }
}
