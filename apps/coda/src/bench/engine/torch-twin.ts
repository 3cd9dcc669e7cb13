/** The same work in PyTorch, by `tools/bench/engine_worker.py` in a process of its own. */
import { workOfWorker, type PreparedWork } from '../prepared-work.ts';
import { startTorchWorker, type TorchWorkerOptions } from '../torch-worker.ts';
import type { RunWork } from './engine-works.ts';
import type { WorkFiles } from './work-files.ts';

export interface TorchTwin {
  readonly description: string;
  work(work: Pick<RunWork, 'kind' | 'batch'>, files: WorkFiles): Promise<PreparedWork>;
  /** Milliseconds from the file to a module with its weights. */
  load(state: string): Promise<number>;
  /** Bytes: resident after the imports, and the most so far. */
  memory(): Promise<{ readonly baseline: number; readonly peak: number }>;
  close(): Promise<void>;
}

export const TWIN = 'torch';

/** `folder`: for results. Throws a CodaError of kind `unavailable` where there is no Python with torch and safetensors. */
export async function startTorchTwin(folder: string, options: TorchWorkerOptions): Promise<TorchTwin> {
  const { worker, description } = await startTorchWorker('engine_worker.py', options);
  let prepared = 0;
  return {
    description,
    work: async ({ kind, batch }, files) => {
      const name = `${kind}-${prepared++}`;
      await worker.request('prepare', { name, kind, batch, ...files });
      return workOfWorker(worker, { name, label: TWIN, folder });
    },
    load: (state) => worker.request('load', { state }),
    memory: () => worker.request('memory'),
    close: () => worker.close(),
  };
}
