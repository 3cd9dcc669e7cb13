/** Where a TensorFlow that was set up lives, and the note that says so. */
import { CodaError } from '@coda-nets/core';
import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** `$CODA_TENSORFLOW` where that is set, else `coda-nets/tensorflow` in `$XDG_CACHE_HOME` or `~/.cache`. */
export function tensorFlowFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { CODA_TENSORFLOW: own, XDG_CACHE_HOME: cache } = environment;
  if (own !== undefined && own !== '') return own;
  return join(cache !== undefined && cache !== '' ? cache : join(homedir(), '.cache'), 'coda-nets', 'tensorflow');
}

export const packageNames = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;
export type PackageName = (typeof packageNames)[number];

/** The version of the npm package whose binding is built. */
export const PACKAGE_VERSION = '4.22.0';

/** `deps/coda-nets.json` in the package's folder. */
export interface Manifest {
  readonly format: 1;
  readonly package: PackageName;
  readonly packageVersion: string;
  /** What the library itself says. */
  readonly tensorflow: string;
  /** Whether it was set up for NVIDIA GPUs. */
  readonly gpu: boolean;
  /** The wheel, archive or folder that the libraries are from, and the wheel's hash. */
  readonly source: string;
  readonly sourceSha256?: string;
  readonly libraries: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
}

export interface Installation {
  /** Of the package: what can be imported. */
  readonly folder: string;
  readonly manifest: Manifest;
}

export const bindingFile = join('lib', 'napi-v8', 'tfjs_binding.node');
export const manifestFile = join('deps', 'coda-nets.json');

/** What `coda setup tensorflow` left in `folder`, its own or that of an installed package; undefined where it left nothing. */
export async function findInstallation(folder: string = tensorFlowFolder()): Promise<Installation | undefined> {
  for (const candidate of [folder, ...packageNames.map((name) => join(folder, 'node_modules', name))]) {
    const manifest = await readManifest(candidate);
    if (manifest !== undefined) return { folder: candidate, manifest };
  }
  return undefined;
}

/** In the `package.json` around a package that a setup brought: only a folder with it is replaced or removed as a whole. */
const OWNER = 'coda setup tensorflow';
export const ownPackageJson = `${JSON.stringify({ private: true, description: OWNER })}\n`;

/** Whether `folder` is nothing but a setup's: no file of anybody else is in it, and no other package. */
export async function isOwnFolder(folder: string): Promise<boolean> {
  const entries = await readdir(folder).catch(() => []);
  if (entries.length === 0 || entries.some((name) => name !== 'package.json' && name !== 'node_modules')) return false;
  const manifest = await readPackageJson(folder);
  const { private: hidden, description, dependencies, ...rest } = manifest;
  return (
    hidden === true &&
    description === OWNER &&
    Object.keys(rest).length === 0 &&
    Object.keys(dependencies ?? {}).every((name) => packageNames.some((one) => one === name))
  );
}

/** `{}` where it cannot be read. */
export async function readPackageJson(folder: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}

async function readManifest(folder: string): Promise<Manifest | undefined> {
  const path = join(folder, manifestFile);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
  const manifest = parseManifest(text);
  const { name } = await readPackageJson(folder);
  if (manifest !== undefined && manifest.package === name) return manifest;
  throw new CodaError({
    kind: 'malformed',
    where: path,
    problem: manifest === undefined ? 'not a note of `coda setup tensorflow`' : 'the note of another package than the one it is in',
    ...(manifest !== undefined && { expected: manifest.package, got: typeof name === 'string' ? name : 'no package' }),
    hint: 'Delete this file and set TensorFlow up again.',
  });
}

function parseManifest(text: string): Manifest | undefined {
  try {
    const manifest = JSON.parse(text) as Manifest;
    const whole =
      manifest.format === 1 &&
      packageNames.includes(manifest.package) &&
      [manifest.packageVersion, manifest.tensorflow, manifest.source].every((value) => typeof value === 'string') &&
      typeof manifest.gpu === 'boolean' &&
      Array.isArray(manifest.libraries);
    return whole ? manifest : undefined;
  } catch {
    return undefined;
  }
}
