/** The PyTorch twins of `tools/bench`, in a Python process of their own. They are no part of the installed command: a checkout has them. */
import type { BenchRun } from '../bench.ts';
import type { Contender, Sample } from '../interleave.ts';
import type { MatmulShape } from '../matmul-peak.ts';
import { workOfWorker, type PreparedWork } from '../prepared-work.ts';
import { startTorchWorker, torchStarter, type TorchWorkerOptions } from '../torch-worker.ts';
import type { DauWork } from './dau-works.ts';
import type { WorkFiles } from './work-files.ts';

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

export interface TwinsOptions extends TorchWorkerOptions {
  /** For results; needed for `work` alone. */
  readonly folder?: string;
}

/** Throws a CodaError of kind `unavailable` where there is no Python with torch and safetensors. */
export async function startTwins({ folder = '', ...options }: TwinsOptions): Promise<Twins> {
  const { worker, description } = await startTorchWorker('dau_worker.py', options);
  let prepared = 0;
  return {
    description,
    work: async (form, work, files, taps, kind) => {
      const name = `${form}-${prepared++}`;
      await worker.request('prepare', { name, form, kind: kind ?? work.kind, ...files, batch: work.batch, taps });
      return workOfWorker(worker, { name, label: kind === undefined ? form : `${form}, tap by tap`, folder });
    },
    matmul: (shape) => ({ name: 'torch', measure: (repeats) => worker.request<Sample>('matmul', { ...shape, repeats }) }),
    memory: () => worker.request('memory'),
    close: () => worker.close(),
  };
}

export type StartTwins = (folder?: string) => Promise<Twins>;

/** How to start the twins; nothing where none are wanted, or where the default Python has no torch. */
export async function twinStarter(run: Pick<BenchRun, 'python' | 'threads' | 'torchDevice' | 'io'>): Promise<StartTwins | undefined> {
  return torchStarter(run, (folder, python) => startTwins({ threads: run.threads, device: run.torchDevice, folder, python }));
}
