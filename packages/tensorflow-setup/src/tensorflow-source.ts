/** Where TensorFlow's libraries and headers are taken from: a wheel, an official archive of libtensorflow, or a folder that holds one of the two unpacked. */
import { CodaError } from '@coda-nets/core';
import { constants, existsSync } from 'node:fs';
import { copyFile, cp, mkdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { extract } from 'tar';
import { checkFits, WHERE } from './check-machine.ts';
import { knownWheels, parseWheelName } from './known-wheels.ts';
import type { Machine } from './machine.ts';
import { hashOfFile, openWheel, type TakenFile, type Wheel } from './wheel.ts';

/** With the C++ interface, as wheels have it, or the C interface alone, as official archives do; the binding needs the C interface. */
const MAIN_LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow.so.2'] as const;
const FRAMEWORK = 'libtensorflow_framework.so.2';
/** What the binding's sources include, directly or through each other. */
const HEADERS = /^(tensorflow\/(c\/|core\/platform\/ctstring)|(xla\/)?tsl\/(c|platform)\/)[\w/]*\.h$/;
/** The header that says that a folder has the others. */
const C_INTERFACE = 'tensorflow/c/eager/c_api.h';
const NOTICES = /(^|\/)(THIRD_PARTY_NOTICES\.txt|LICENSE|THIRD_PARTY_TF_C_LICENSES)$/;

interface Unpacked {
  /** Names that the binding is linked with. */
  readonly link: readonly string[];
  readonly libraries: readonly TakenFile[];
  readonly sha256?: string;
  /** What of `tensorflow[and-cuda]` has to lie beside a wheel for GPUs. */
  readonly cudaRequirements: readonly string[];
}

export interface TensorFlowSource {
  readonly description: string;
  /** Of the libraries. */
  readonly bytes: number;
  /** Writes `lib` and `include` into `deps`. */
  unpack(deps: string, signal?: AbortSignal): Promise<Unpacked>;
}

/** Looks at `path` and refuses what is no TensorFlow, or none for this machine. */
export async function openSource(path: string, machine: Machine): Promise<TensorFlowSource> {
  const what = await stat(path).catch(() => undefined);
  if (what === undefined) throw notTensorFlow(path, 'there is no such file or folder');
  if (what.isDirectory()) return folderSource(path);
  if (path.endsWith('.whl')) return wheelSource(path, machine);
  if (/\.(tar\.gz|tgz)$/.test(path))
    return { description: basename(path), bytes: 4 * what.size, unpack: (deps) => unpackArchive(path, deps) };
  throw notTensorFlow(path, 'this file is neither a wheel (.whl) nor an archive (.tar.gz)');
}

async function wheelSource(path: string, machine: Machine): Promise<TensorFlowSource> {
  const file = basename(path);
  const name = parseWheelName(file);
  if (name === undefined) throw notTensorFlow(path, 'the file is not named like a wheel');
  checkFits(file, name, machine);
  const wheel = await openWheel(path);
  try {
    const main = MAIN_LIBRARIES.find((library) => wheel.entries.has(`tensorflow/${library}`));
    if (main === undefined || !wheel.entries.has(`tensorflow/${FRAMEWORK}`))
      throw notTensorFlow(path, `the wheel has no ${MAIN_LIBRARIES[0]}`);
    if (!wheel.entries.has(`tensorflow/include/${C_INTERFACE}`)) throw notTensorFlow(path, `the wheel has no include/${C_INTERFACE}`);
    const bytes = [main, FRAMEWORK].reduce((sum, library) => sum + (wheel.entries.get(`tensorflow/${library}`) as number), 0);
    return { description: file, bytes, unpack: (deps, signal) => unpackWheel(path, main, deps, signal) };
  } finally {
    wheel.close();
  }
}

async function unpackWheel(path: string, main: string, deps: string, signal: AbortSignal | undefined): Promise<Unpacked> {
  const sha256 = await hashOfFile(path, signal);
  const known = knownWheels[basename(path)];
  if (known !== undefined && known !== sha256) {
    throw new CodaError({
      kind: 'mismatch',
      where: `${WHERE}: ${basename(path)}`,
      problem: 'the wheel does not have its known sha256 hash, so it is not used',
      expected: known,
      got: sha256,
      hint: 'It may have been downloaded in part: fetch it again.',
    });
  }
  return withWheel(path, async (wheel) => {
    const taken = await wheel.take((name) => {
      const inside = name.replace(/^tensorflow\//, '');
      if (inside === main || inside === FRAMEWORK) return join(deps, 'lib', inside);
      if (name.startsWith('tensorflow/include/') && HEADERS.test(name.slice(19))) return join(deps, 'include', name.slice(19));
      return /^tensorflow\/[A-Z_]+\.txt$/.test(name) ? join(deps, inside) : undefined;
    }, signal);
    const metadata = (await wheel.text(/^[^/]+\.dist-info\/METADATA$/)) ?? '';
    const libraries = taken.filter(({ name }) => name.includes('.so'));
    return { link: [main, FRAMEWORK], libraries, sha256, cudaRequirements: cudaRequirements(metadata) };
  });
}

/** `Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"` */
export function cudaRequirements(metadata: string): readonly string[] {
  return [...metadata.matchAll(/^Requires-Dist: *(nvidia-[\w-]+) *\(?([^;)\n]*)\)? *;.*extra *== *["']and-cuda["']/gm)].map(
    ([, name, range]) => `${name}${(range as string).replaceAll(' ', '')}`,
  );
}

/** Every library of a wheel of NVIDIA's beside TensorFlow's own, which look for them there, and what is compiled with at run time where they look for that. */
export async function unpackCuda(path: string, deps: string, signal?: AbortSignal): Promise<readonly TakenFile[]> {
  return withWheel(path, (wheel) =>
    wheel.take((name) => {
      const library = /^nvidia\/(?:\w+\/)+lib\/(\w[\w.+-]*\.so[.\d]*)$/.exec(name)?.[1];
      if (library !== undefined) return join(deps, 'lib', library);
      return /^nvidia\/cuda_nvcc\/(?:bin|nvvm)\/[\w./-]+$/.test(name) ? join(deps, ...name.split('/')) : undefined;
    }, signal),
  );
}

async function withWheel<T>(path: string, work: (wheel: Wheel) => Promise<T>): Promise<T> {
  const wheel = await openWheel(path);
  try {
    return await work(wheel);
  } finally {
    wheel.close();
  }
}

async function unpackArchive(path: string, deps: string): Promise<Unpacked> {
  const folder = join(dirname(deps), 'archive');
  await mkdir(folder, { recursive: true });
  try {
    await extract({ file: path, cwd: folder, strict: true, preservePaths: false });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOSPC') throw cause;
    throw new CodaError({
      kind: 'malformed',
      where: path,
      problem: `not a whole archive: ${(cause as Error).message}`,
      hint: 'It may have been downloaded in part: fetch it again.',
      cause,
    });
  }
  return (await folderSource(folder, path)).unpack(deps);
}

/** `<folder>/lib` and `<folder>/include` of an official archive, or `site-packages/tensorflow` of a Python installation, or what holds one of these. */
async function folderSource(folder: string, named: string = folder): Promise<TensorFlowSource> {
  for (const root of [folder, join(folder, 'tensorflow')]) {
    for (const libraries of [root, join(root, 'lib')]) {
      const main = MAIN_LIBRARIES.find((library) => existsSync(join(libraries, library)));
      const include = join(root, 'include');
      if (main === undefined || !existsSync(join(libraries, FRAMEWORK)) || !existsSync(join(include, C_INTERFACE))) continue;
      const files = await Promise.all([main, FRAMEWORK].map(async (name) => ({ name, from: await realpath(join(libraries, name)) })));
      await Promise.all(files.map(({ from }) => refuseOutside(named, folder, from)));
      const sizes = await Promise.all(files.map(async ({ from }) => (await stat(from)).size));
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      return { description: resolve(named), bytes, unpack: (deps, signal) => copyFolder(files, sizes, include, root, deps, signal) };
    }
  }
  throw notTensorFlow(named, `it lacks ${MAIN_LIBRARIES.join(' or ')}, ${FRAMEWORK} or include/${C_INTERFACE}`);
}

/** A link in an archive may lead anywhere; in a folder of the user's it is meant. */
async function refuseOutside(named: string, folder: string, path: string): Promise<void> {
  if (named === folder || path.startsWith(`${await realpath(folder)}/`)) return;
  throw new CodaError({ kind: 'malformed', where: named, problem: `a link leads out of the archive: ${path}` });
}

async function copyFolder(
  files: readonly { name: string; from: string }[],
  sizes: readonly number[],
  include: string,
  root: string,
  deps: string,
  signal: AbortSignal | undefined,
): Promise<Unpacked> {
  await mkdir(join(deps, 'lib'), { recursive: true });
  const libraries: TakenFile[] = [];
  for (const [i, { name, from }] of files.entries()) {
    signal?.throwIfAborted();
    const path = join(deps, 'lib', name);
    await copyFile(from, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    libraries.push({ name, path, bytes: sizes[i] as number, sha256: await hashOfFile(path, signal) });
  }
  const isHeader = (from: string): boolean => {
    const inside = from.slice(include.length + 1);
    return !/\.\w+$/.test(inside) || HEADERS.test(inside);
  };
  for (const top of ['tensorflow/c', 'tensorflow/core/platform', 'tsl', 'xla/tsl']) {
    const from = join(include, top);
    if (existsSync(from)) await cp(from, join(deps, 'include', top), { recursive: true, dereference: true, filter: isHeader });
  }
  for (const notice of ['THIRD_PARTY_NOTICES.txt', 'LICENSE', 'THIRD_PARTY_TF_C_LICENSES']) {
    const from = join(root, notice);
    if (NOTICES.test(from) && existsSync(from)) await copyFile(from, join(deps, notice));
  }
  return { link: files.map(({ name }) => name), libraries, cudaRequirements: [] };
}

function notTensorFlow(path: string, problem: string): CodaError {
  return new CodaError({
    kind: 'argument',
    where: `${WHERE}: --from ${path}`,
    problem: `not a TensorFlow: ${problem}`,
    expected: 'a wheel of tensorflow or tensorflow-cpu, an archive of libtensorflow, or a folder with the content of one',
  });
}
