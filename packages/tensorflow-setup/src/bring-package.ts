/** Brings the npm package whose binding is built, with what it imports, without running its install script (which downloads TensorFlow 2.9.1). */
import { CodaError } from '@coda-nets/core';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WHERE } from './check-machine.ts';
import { networkIsGone, noNetwork } from './fetch-wheel.ts';
import type { Machine } from './machine.ts';
import { ownPackageJson, PACKAGE_VERSION, type PackageName } from './tensorflow-folder.ts';

/** Into `<folder>/node_modules`; returns the folder of the package. */
export async function bringPackage(name: PackageName, folder: string, machine: Machine, signal?: AbortSignal): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), ownPackageJson);
  const spec = `${name}@${PACKAGE_VERSION}`;
  const quiet = ['--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error', '--fetch-retries=1'];
  const { code, stdout, stderr } = await machine.run('npm', ['install', spec, ...quiet], { cwd: folder, signal });
  if (code === 0) return join(folder, 'node_modules', name);
  const where = `${WHERE}: npm install ${spec}`;
  if (code === 'missing') {
    throw new CodaError({ kind: 'unavailable', where, problem: 'there is no npm', hint: 'It comes with Node: put it on the PATH.' });
  }
  if (networkIsGone(stdout + stderr)) {
    const instead = 'Or name an installed package with --to node_modules/@tensorflow/tfjs-node.';
    throw noNetwork(where, 'the npm registry cannot be reached', instead);
  }
  const full = /ENOSPC|no space left/i.test(stderr);
  const problem = full ? 'there is too little room on the disk' : 'npm failed';
  throw new CodaError({ kind: 'unavailable', where, problem, got: full ? undefined : stderr.trim().split('\n')[0] });
}
