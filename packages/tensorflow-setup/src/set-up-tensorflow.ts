/**
 * Sets up TensorFlow for tfjs-node(-gpu): libraries from a wheel, an archive or a folder, and the package's own binding compiled against them. Looks first,
 * tells what it will do and what that takes, then does it in a folder beside the target, tries the result, and renames: a setup that fails or is ended leaves
 * everything as it was.
 */
import { CodaError } from '@coda-nets/core';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { bringPackage } from './bring-package.ts';
import { checkPlatform, checkSpace, downloadsIn, findCompiler, megabytes, notWritable, WHERE, type CommandWords } from './check-machine.ts';
import { compileBinding, tryBinding } from './compile-binding.ts';
import { fetchWheel, findPython } from './fetch-wheel.ts';
import { DEFAULT_VERSION, wheelSizes } from './known-wheels.ts';
import { thisMachine, type Machine } from './machine.ts';
import { inside, KEPT, nameThePackage, giveBackKept } from './remove-tensorflow.ts';
import { asideIn, stagingFolder, swapIn } from './swap-in.ts';
import {
  bindingFile,
  findInstallation,
  isOwnFolder,
  manifestFile,
  PACKAGE_VERSION,
  packageNames,
  readPackageJson,
  tensorFlowFolder,
  type Installation,
  type Manifest,
  type PackageName,
} from './tensorflow-folder.ts';
import { openSource, unpackCuda, type TensorFlowSource } from './tensorflow-source.ts';

export interface TensorFlowSetupOptions {
  /** Of TensorFlow; default 2.21.0. */
  readonly version?: string | undefined;
  /** For NVIDIA GPUs: the wheel with CUDA, and NVIDIA's libraries beside it. Default false. */
  readonly gpu?: boolean | undefined;
  /** A wheel, an archive of libtensorflow, or a folder with the content of one; default: the wheel is fetched with pip. */
  readonly from?: string | undefined;
  /** An installed `@tensorflow/tfjs-node(-gpu)`, whose binding is then built in place, or a folder for a copy of its own. Default: `tensorFlowFolder()`. */
  readonly to?: string | undefined;
  readonly machine?: Machine | undefined;
}

export interface CarryOutOptions {
  /** A sentence for people as each step begins. */
  readonly onStep?: ((step: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TensorFlowPlan {
  /** The folder that is written. */
  readonly target: string;
  readonly package: PackageName;
  /** Sentences for people. */
  readonly steps: readonly string[];
  readonly downloadBytes: number;
  /** The most on the disk while it runs, and what stays. */
  readonly peakBytes: number;
  readonly keptBytes: number;
  carryOut(options?: CarryOutOptions): Promise<Installation>;
}

/** Looks at the machine, the source and the target, and writes nothing but the folder around the target. Throws a CodaError for whatever would fail later. */
export async function planTensorFlow(options: TensorFlowSetupOptions = {}): Promise<TensorFlowPlan> {
  const { version = DEFAULT_VERSION, gpu = false, from, machine = thisMachine() } = options;
  const target = resolve(options.to ?? tensorFlowFolder());
  if (!/^\d+\.\d+\.\d+$/.test(version)) {
    throw new CodaError({
      kind: 'argument',
      where: `${WHERE}: --version`,
      problem: 'not a version',
      expected: 'one like 2.21.0',
      got: version,
    });
  }
  checkPlatform(machine);
  const inPlace = await installedPackage(target);
  if (inPlace === undefined) await refuseForeign(target);
  const name: PackageName = inPlace ?? (gpu ? '@tensorflow/tfjs-node-gpu' : '@tensorflow/tfjs-node');
  const compiler = await findCompiler(machine);
  const python = from === undefined || gpu ? await findPython(machine) : undefined;
  const source = from === undefined ? undefined : await openSource(from, machine);
  const size = wheelSizes[gpu ? 'gpu' : 'cpu'];
  const libraryBytes = (source?.bytes ?? 0) + (source === undefined || gpu ? size.libraries : 0);
  const packageBytes = inPlace === undefined ? wheelSizes.package : 0;
  const wheelBytes = source === undefined || gpu ? size.download : 0;
  const keptBytes = libraryBytes + packageBytes;
  const peakBytes = keptBytes + wheelBytes;
  await checkSpace(target, peakBytes, machine);
  const wheel = gpu ? 'tensorflow' : 'tensorflow-cpu';
  const steps = [
    ...(source === undefined ? [`fetch ${wheel} ${version} from the Python package index with ${python?.description}`] : []),
    ...(gpu ? ['fetch NVIDIA’s CUDA libraries that it names from there'] : []),
    `take libtensorflow and its headers out of ${source?.description ?? 'the wheel'}, each file checked against its hash`,
    ...(inPlace === undefined ? [`install ${name} ${PACKAGE_VERSION} from npm, unmodified, its install script not run`] : []),
    `compile its binding with ${compiler.description}`,
    `try it, and put it into ${target}`,
  ];
  return {
    target,
    package: name,
    steps,
    downloadBytes: wheelBytes + (inPlace === undefined ? wheelSizes.package / 4 : 0),
    peakBytes,
    keptBytes,
    carryOut: (carry) =>
      carryOut(
        {
          target,
          name,
          inPlace: inPlace !== undefined,
          gpu,
          requirement: `${wheel}==${version}`,
          source,
          python: python?.command,
          compiler: compiler.command,
          machine,
        },
        carry,
      ),
  };
}

/** The package whose folder `target` is. */
async function installedPackage(target: string): Promise<PackageName | undefined> {
  const { name, version } = await readPackageJson(target);
  const found = packageNames.find((one) => one === name);
  if (found !== undefined && version !== PACKAGE_VERSION) {
    throw new CodaError({
      kind: 'mismatch',
      where: `${WHERE}: ${target}`,
      problem: 'another version of the package',
      expected: PACKAGE_VERSION,
      got: typeof version === 'string' ? version : 'none',
    });
  }
  return found;
}

/** A folder that has anything of somebody else's is not replaced. */
async function refuseForeign(target: string): Promise<void> {
  if (!existsSync(target) || (await isOwnFolder(target))) return;
  const found = await findInstallation(target);
  throw new CodaError({
    kind: 'argument',
    where: `${WHERE}: --to ${target}`,
    problem: 'something else is there, which would be replaced',
    expected: 'a new folder, one of an earlier setup, or an installed @tensorflow/tfjs-node(-gpu)',
    ...(found !== undefined && { hint: nameThePackage(found) }),
  });
}

interface Work {
  readonly target: string;
  readonly name: PackageName;
  readonly inPlace: boolean;
  readonly gpu: boolean;
  readonly requirement: string;
  readonly source: TensorFlowSource | undefined;
  readonly python: string | undefined;
  readonly compiler: CommandWords;
  readonly machine: Machine;
}

async function carryOut(work: Work, { onStep, signal }: CarryOutOptions = {}): Promise<Installation> {
  const { target, name, inPlace, machine, compiler } = work;
  const staging = await stagingFolder(inPlace ? inside(target) : target).catch((cause: unknown) => {
    throw notWritable(dirname(target), cause);
  });
  try {
    if (inPlace) await giveBackKept(target);
    const output = inPlace ? join(staging, 'package') : await bring(work, staging, onStep, signal);
    const deps = join(output, 'deps');
    await mkdir(deps, { recursive: true });
    const { libraries, link, source, sha256 } = await takeLibraries(work, staging, deps, onStep, signal);
    onStep?.('compiling the binding');
    await compileBinding({ sources: inPlace ? target : output, output, link, compiler, machine, signal });
    onStep?.('trying it');
    const tensorflow = await tryBinding(output, machine, signal);
    await Promise.all(['downloads', 'archive'].map((rest) => rm(join(staging, rest), { recursive: true, force: true })));
    await rm(join(deps, 'include'), { recursive: true });
    const manifest: Manifest = {
      format: 1,
      package: name,
      packageVersion: PACKAGE_VERSION,
      tensorflow,
      gpu: work.gpu,
      source,
      ...(sha256 !== undefined && { sourceSha256: sha256 }),
      libraries: libraries.map(({ path, bytes, sha256: hash }) => ({ name: basename(path), bytes, sha256: hash })),
    };
    await writeFile(join(output, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`);
    signal?.throwIfAborted();
    // the binding comes last: without it the package is as if it was not set up
    const parts = inPlace
      ? ['deps', 'lib'].map((part) => ({ from: join(output, part), to: join(target, part) }))
      : [{ from: staging, to: target }];
    const first = inPlace && !existsSync(join(target, KEPT)) && (await findInstallation(target)) === undefined;
    const asideStaging = inPlace ? staging : await stagingFolder(target);
    await swapIn(parts, first ? join(target, KEPT) : asideIn(asideStaging));
    if (!inPlace) await rm(asideStaging, { recursive: true, force: true });
    return { folder: inPlace ? target : join(target, 'node_modules', name), manifest };
  } catch (cause) {
    if (CodaError.isInstance(cause) || (cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    throw notWritable((cause as NodeJS.ErrnoException).path ?? target, cause);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function bring(
  { name, machine }: Work,
  staging: string,
  onStep: CarryOutOptions['onStep'],
  signal: AbortSignal | undefined,
): Promise<string> {
  onStep?.(`installing ${name} ${PACKAGE_VERSION}`);
  return bringPackage(name, staging, machine, signal);
}

async function takeLibraries(
  work: Work,
  staging: string,
  deps: string,
  onStep: CarryOutOptions['onStep'],
  signal: AbortSignal | undefined,
) {
  const { gpu, requirement, python = 'python3', machine } = work;
  let { source } = work;
  const downloads = downloadsIn(staging);
  if (source === undefined) {
    onStep?.(`fetching ${requirement}, ${megabytes(wheelSizes[gpu ? 'gpu' : 'cpu'].download)}`);
    const path = await fetchWheel(requirement, downloads, python, machine, signal);
    source = await openSource(path, machine);
  }
  onStep?.(`unpacking ${source.description}, ${megabytes(source.bytes)}`);
  const unpacked = await source.unpack(deps, signal);
  const libraries = [...unpacked.libraries];
  for (const wanted of gpu ? unpacked.cudaRequirements : []) {
    onStep?.(`fetching ${wanted}`);
    const path = await fetchWheel(wanted, downloads, python, machine, signal);
    libraries.push(...(await unpackCuda(path, deps, signal)));
    await rm(path);
  }
  return { libraries, link: unpacked.link, source: source.description, sha256: unpacked.sha256 };
}

/** Whether the binding of the package in `folder` is built. */
export const bindingIsBuilt = (folder: string): boolean => existsSync(join(folder, bindingFile));
