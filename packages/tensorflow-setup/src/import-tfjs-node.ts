/**
 * Imports `@tensorflow/tfjs-node(-gpu)` as it is, from where `coda setup tensorflow` put it or from where it was installed, in a way that works on every Node
 * from 20: what the package misses there it gets for itself alone. Absent or broken, it is a CodaError that says what to do, never a crash.
 */
import { CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import util from 'node:util';
import { explainLoadError } from './explain-load-error.ts';
import { gpuReport } from './gpu-report.ts';
import { bindingIsBuilt } from './set-up-tensorflow.ts';
import { findInstallation, packageNames, tensorFlowFolder } from './tensorflow-folder.ts';

export interface ImportOptions {
  /** Which GPU, as `nvidia-smi` counts them: sets CUDA_VISIBLE_DEVICES. Default: what that says, else the first. TensorFlow.js uses one. */
  readonly device?: number | undefined;
  /** Where it was set up; default: `tensorFlowFolder()`. */
  readonly folder?: string | undefined;
  /** Folders from which packages are looked up as `import` would; default: this module's and the working directory. */
  readonly lookup?: readonly string[] | undefined;
}

export interface TfjsNode {
  readonly package: string;
  readonly packageVersion: string;
  readonly folder: string;
  /** Of the library: `2.21.0`. */
  readonly tensorflow: string;
  readonly usesGpu: boolean;
  /** For people: the GPU that is used, or why none is. */
  readonly device: string;
}

/** The part of the package's backend that says what it runs on. */
interface NodeBackend {
  readonly binding: { readonly TF_Version: string; isUsingGpuDevice(): boolean };
}
interface TfjsNodeModule {
  readonly io: { fileSystem(path: string | string[]): tf.io.IOHandler };
  findBackend(name: string): NodeBackend;
}

/** Registers the TensorFlow.js backend `tensorflow` and the handlers of `file://`, and makes it the current one, as the package does when it is imported. */
export async function importTfjsNode(options: ImportOptions = {}): Promise<TfjsNode> {
  const { folder = tensorFlowFolder(), lookup = [import.meta.dirname, process.cwd()] } = options;
  const found = await candidates(folder, lookup);
  const problems: string[] = [];
  for (const candidate of found) {
    if (!bindingIsBuilt(candidate)) {
      problems.push(`${candidate}: its binding is not built`);
      continue;
    }
    try {
      return load(candidate, options.device);
    } catch (cause) {
      if (CodaError.isInstance(cause)) throw cause;
      problems.push(`${candidate}: ${explainLoadError(cause instanceof Error ? cause.message : String(cause))}`);
    }
  }
  const { gpus } = gpuReport();
  throw new CodaError({
    kind: 'unavailable',
    where: 'engine tensorflow',
    problem:
      problems.length === 0
        ? `neither ${packageNames.join(' nor ')} is set up or installed: \`coda setup tensorflow${gpus.length > 0 ? ' --gpu' : ''}\` does it`
        : `it is here and cannot be used (${problems.join('; ')}): \`coda setup tensorflow\` sets up one that can`,
  });
}

async function candidates(folder: string, lookup: readonly string[]): Promise<readonly string[]> {
  const own = await findInstallation(folder);
  const installed = lookup.flatMap((from) => {
    const { resolve } = createRequire(join(from, 'lookup.js'));
    return packageNames.flatMap((name) => {
      try {
        return [dirname(resolve(`${name}/package.json`))];
      } catch {
        return [];
      }
    });
  });
  // links of package managers lead to one folder
  return [...new Set([...(own === undefined ? [] : [own.folder]), ...installed].map((path) => realpathSync(path)))];
}

function load(folder: string, device: number | undefined): TfjsNode {
  refuseOldProcessor();
  prepareEnvironment(device);
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name: string; version: string };
  const tfjsNode = quietly(() =>
    withMissingUtil(folder, () => createRequire(pathToFileURL(join(folder, 'package.json')))(folder) as TfjsNodeModule),
  );
  registerFiles(tfjsNode);
  const { binding } = tfjsNode.findBackend('tensorflow');
  const usesGpu = binding.isUsingGpuDevice();
  return {
    package: name,
    packageVersion: version,
    folder,
    tensorflow: binding.TF_Version,
    usesGpu,
    device: describeDevice(folder, usesGpu),
  };
}

const FILE_SCHEME = 'file://';
/** Gives null for what is not its own, which its type leaves out. */
type Router = Parameters<typeof tf.io.registerSaveRouter>[0];

/** Backends and kernels are known to every copy of tfjs-core, handlers of URLs to one. A package with a copy of its own registers them there; for ours they are registered here. */
function registerFiles({ io }: TfjsNodeModule): void {
  if (tf.io.getSaveHandlers(FILE_SCHEME).length > 0) return;
  const router = (url: string | string[]): tf.io.IOHandler | null => {
    const urls = Array.isArray(url) ? url : [url];
    if (!urls.every((one) => one.startsWith(FILE_SCHEME))) return null;
    const paths = urls.map((one) => one.slice(FILE_SCHEME.length));
    return io.fileSystem(Array.isArray(url) ? paths : (paths[0] as string));
  };
  tf.io.registerSaveRouter(router as Router);
  tf.io.registerLoadRouter(router as Router);
}

function describeDevice(folder: string, usesGpu: boolean): string {
  const { gpus, driver, problem } = gpuReport();
  if (usesGpu) {
    const index = Number(process.env['CUDA_VISIBLE_DEVICES'] ?? 0);
    return `GPU ${gpus[index] ?? gpus[0] ?? ''}${driver === undefined ? '' : `, driver ${driver}`}`;
  }
  if (problem !== undefined) return `CPU; no GPU: ${problem}`;
  const forCpu = !existsSync(join(folder, 'deps', 'lib', 'libcudart.so.12'));
  const why = forCpu
    ? 'this TensorFlow is built for CPUs, `coda setup tensorflow --gpu` sets up the other'
    : 'TensorFlow did not take it, TF_CPP_MIN_LOG_LEVEL=0 in the environment makes it say why';
  return `CPU; the ${gpus.join(', ') || 'GPU'} is not used: ${why}`;
}

/** PyPI's libraries end the process on a processor without AVX. */
function refuseOldProcessor(): void {
  if (process.arch !== 'x64' || !existsSync('/proc/cpuinfo')) return;
  if (/^flags.*\bavx\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))) return;
  throw new CodaError({ kind: 'unavailable', where: 'engine tensorflow', problem: 'this processor has no AVX, which TensorFlow needs' });
}

/** What TensorFlow reads when it is loaded. What the user has set stays. */
function prepareEnvironment(device: number | undefined): void {
  const { env } = process;
  // errors are still printed
  env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  // else it takes all of the GPU's memory at once
  env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
  // as nvidia-smi counts
  env['CUDA_DEVICE_ORDER'] ??= 'PCI_BUS_ID';
  if (device !== undefined) env['CUDA_VISIBLE_DEVICES'] = String(device);
  else if (gpuReport().gpus.length > 1) env['CUDA_VISIBLE_DEVICES'] ??= '0';
}

/** Two functions that Node 23 dropped, and that the package calls: for its own `require('util')` while it is imported, and for nobody else. */
const missing = {
  isNullOrUndefined: (value: unknown): boolean => value === null || value === undefined,
  isArray: (value: unknown): boolean => Array.isArray(value),
};

/** What every `require` goes through; Node has no other place for this before 22.15. */
const LOAD = '_load';
type Load = (request: string, parent: { filename?: string | null } | undefined, ...rest: unknown[]) => unknown;

function withMissingUtil<T>(folder: string, work: () => T): T {
  if ('isNullOrUndefined' in (util as object) && 'isArray' in (util as object)) return work();
  const loader = Module as unknown as { [LOAD]: Load };
  const before = loader[LOAD];
  const complete = { ...(util as object), ...missing };
  loader[LOAD] = function (request, parent, ...rest) {
    const ours = (request === 'util' || request === 'node:util') && parent?.filename?.startsWith(folder) === true;
    return ours ? complete : Reflect.apply(before, this, [request, parent, ...rest]);
  };
  try {
    return work();
  } finally {
    loader[LOAD] = before;
  }
}

/** What TensorFlow.js says when its parts are there twice, which does no harm: they share one registry. */
const expected = /is already registered$|backend was already registered|^Platform node has already been set/;

/** Without those, and without Node's warnings of what the package's dependencies still use. */
function quietly<T>(work: () => T): T {
  const { console } = globalThis;
  const node = process as { noDeprecation?: boolean };
  const { warn } = console;
  const { noDeprecation } = node;
  console.warn = (...words: unknown[]) => {
    if (!expected.test(String(words[0]))) warn.apply(console, words);
  };
  node.noDeprecation = true;
  try {
    return work();
  } finally {
    console.warn = warn;
    node.noDeprecation = noDeprecation ?? false;
  }
}
