/** The PyTorch side of `coda bench depth` (tools/bench/depth_worker.py), in a Python process of its own. */
import type { JsonObject } from '@coda-nets/core';
import type { BenchRun } from '../bench.ts';
import { workOfWorker, type PreparedWork } from '../prepared-work.ts';
import { startTorchWorker, torchStarter } from '../torch-worker.ts';

export interface DepthWorkFiles {
  /** Safetensors: the weights; the config as JSON in the metadata. */
  readonly network: string;
  /** Safetensors: grids [G, H, W, 3], classes [G, n²], images [N, h, w, 3], labels [N]. */
  readonly data: string;
}

export interface DepthTwins {
  readonly description: string;
  prepare(name: string, kind: string, files: DepthWorkFiles, parameters: JsonObject): Promise<PreparedWork>;
  close(): Promise<void>;
}

/** Nothing where none is wanted, or the default Python has no torch, which is said. Throws a CodaError where the Python that was asked for has none. */
export async function depthTwins(run: Pick<BenchRun, 'python' | 'threads' | 'io'>, folder: string): Promise<DepthTwins | undefined> {
  const start = await torchStarter(run, async (_, python): Promise<DepthTwins> => {
    const { worker, description } = await startTorchWorker('depth_worker.py', { python, threads: run.threads });
    return {
      description,
      prepare: async (name, kind, files, parameters) => {
        await worker.request('prepare', { name, kind, ...files, parameters });
        return workOfWorker(worker, { name, folder });
      },
      close: () => worker.close(),
    };
  });
  return start?.();
}
