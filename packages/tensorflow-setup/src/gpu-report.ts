/** Why TensorFlow does or does not use an NVIDIA GPU, from what the driver leaves in the file system. Nothing of CUDA is loaded. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compareVersions } from './known-wheels.ts';

/** The first driver that runs CUDA 12, for which TensorFlow 2.17 and later are built (NVIDIA, CUDA compatibility, minor versions). */
const OLDEST_DRIVER = '525.60.13';

const LIBCUDA_FOLDERS = [
  'usr/lib/x86_64-linux-gnu',
  'usr/lib/aarch64-linux-gnu',
  'usr/lib64',
  'usr/lib',
  'usr/lib/wsl/lib',
  'usr/local/nvidia/lib64',
  'usr/local/cuda/compat',
];

export interface GpuReport {
  /** As the driver names them. */
  readonly gpus: readonly string[];
  readonly driver: string | undefined;
  /** What keeps any program from using one; undefined where nothing does. */
  readonly problem: string | undefined;
}

export interface GpuReportOptions {
  readonly environment?: NodeJS.ProcessEnv;
  /** Where the file system begins. */
  readonly root?: string;
}

export function gpuReport({ environment = process.env, root = '/' }: GpuReportOptions = {}): GpuReport {
  const driver = /Kernel Module.*?\s(\d+(?:\.\d+)+)\s/.exec(textOf(join(root, 'proc/driver/nvidia/version')) ?? '')?.[1];
  const folder = join(root, 'proc/driver/nvidia/gpus');
  const gpus = (existsSync(folder) ? readdirSync(folder) : []).map(
    (id) => /Model:\s*(.+)/.exec(textOf(join(folder, id, 'information')) ?? '')?.[1]?.trim() ?? id,
  );
  return { gpus, driver, problem: problemOf(driver, gpus, environment, root) };
}

function problemOf(driver: string | undefined, gpus: readonly string[], environment: NodeJS.ProcessEnv, root: string): string | undefined {
  const folders = [...(environment['LD_LIBRARY_PATH'] ?? '').split(':').filter(Boolean), ...LIBCUDA_FOLDERS].map((path) =>
    join(root, path),
  );
  const library = folders.some((path) => existsSync(join(path, 'libcuda.so.1')));
  // Windows' own driver, seen from Linux inside it
  const wsl = existsSync(join(root, 'dev/dxg'));
  if (driver === undefined && !library) return 'no NVIDIA driver (no /proc/driver/nvidia, no libcuda.so.1)';
  if (driver === undefined && !wsl)
    return 'the NVIDIA driver is not loaded (libcuda.so.1 is there, /proc/driver/nvidia is not): `nvidia-smi` tells more';
  if (!library) {
    return `NVIDIA’s driver ${driver} runs, but its libcuda.so.1 is not to be seen: a container has to be started with --gpus all, elsewhere install libcuda1`;
  }
  if (driver !== undefined && compareVersions(driver, OLDEST_DRIVER) < 0) {
    return `NVIDIA’s driver ${driver} is too old for CUDA 12, which needs ${OLDEST_DRIVER} or later`;
  }
  if (!wsl && gpus.length === 0) return 'NVIDIA’s driver finds no GPU';
  if (!wsl && !existsSync(join(root, 'dev/nvidiactl')))
    return 'the GPU’s device files (/dev/nvidia…) are missing: a container has to be started with --gpus all';
  const visible = environment['CUDA_VISIBLE_DEVICES'];
  if (visible === '' || visible === '-1') return `CUDA_VISIBLE_DEVICES is ${JSON.stringify(visible)}, which hides every GPU`;
  return undefined;
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
