/**
 * Small archives in both layouts of CIFAR-10, and a server on this machine that gives them as badly as a test wants.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import sharp from 'sharp';
import { create } from 'tar';
import { onTestFinished } from 'vitest';
import { packRecords, type ExpectedFile } from '../../src/data/cifar10-format.ts';
import type { ArchiveSource } from '../../src/data/cifar10-sources.ts';
import type { FetchProgress } from '../../src/data/fetch-cifar10.ts';
import { syntheticDataset } from '../../src/data/synthetic-dataset.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const toy = syntheticDataset({ classes: 10, perClass: 2, testPerClass: 1 });
const perFile = toy.split('train').length / 5;

export interface Member {
  readonly name: string;
  readonly records: Uint8Array;
}
export const members: readonly Member[] = [
  ...[0, 1, 2, 3, 4].map((i) => ({
    name: `data_batch_${i + 1}.bin`,
    records: packRecords(toy.split('train').images, toy.split('train').labels, i * perFile, perFile),
  })),
  {
    name: 'test_batch.bin',
    records: packRecords(toy.split('test').images, toy.split('test').labels, 0, toy.split('test').length),
  },
];
export const files: readonly ExpectedFile[] = members.map(({ name, records }) => ({
  name,
  bytes: records.length,
  sha256: createHash('sha256').update(records).digest('hex'),
}));

/** `cifar-10-batches-bin/data_batch_1.bin` and so on. */
export async function officialArchive(content: readonly Member[] = members): Promise<Uint8Array> {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'cifar-10-batches-bin'));
  for (const { name, records } of content) await writeFile(join(folder, 'cifar-10-batches-bin', name), records);
  return pack(folder, 'cifar-10-batches-bin');
}

/** `package/data_batch_1.png` and so on: row n of a PNG is image n. */
export async function pngArchive(change: { readonly labels?: string } = {}): Promise<Uint8Array> {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'package'));
  const [train, test] = [toy.split('train'), toy.split('test')];
  const parts = [0, 1, 2, 3, 4].map(
    (i) => [`data_batch_${i + 1}.png`, train.images.subarray(i * perFile * 3072, (i + 1) * perFile * 3072)] as const,
  );
  for (const [name, rows] of [...parts, ['test_batch.png', test.images] as const]) {
    const png = sharp(rows, { raw: { width: 1024, height: rows.length / 3072, channels: 3 } }).png();
    await png.toFile(join(folder, 'package', name));
  }
  const labels = change.labels ?? JSON.stringify(Array.from(train.labels));
  await writeFile(join(folder, 'package', 'train_lables.json'), labels);
  await writeFile(join(folder, 'package', 'test_lables.json'), JSON.stringify(Array.from(test.labels)));
  return pack(folder, 'package');
}

async function pack(folder: string, name: string): Promise<Uint8Array> {
  await create({ gzip: true, cwd: folder, file: join(folder, 'archive.tgz') }, [name]);
  return readFile(join(folder, 'archive.tgz'));
}

/** A source of `archive` at `url`; `obtain` is left out. */
export function sourceOf(archive: Uint8Array, url: string, layout: ArchiveSource['layout'] = 'official'): ArchiveSource {
  return {
    name: `test ${layout}`,
    file: `${layout}.tgz`,
    layout,
    bytes: archive.length,
    hash: { algorithm: 'sha256', encoding: 'hex', value: createHash('sha256').update(archive).digest('hex') },
    address: async () => url,
  };
}

export interface Request {
  readonly path: string;
  readonly range: string | undefined;
}

export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** Answers request i with `answers[i]`, and all later ones with the last. */
export async function serve(...answers: readonly Answer[]): Promise<{ url: string; requests: readonly Request[] }> {
  const requests: Request[] = [];
  const server = createServer((request, response) => {
    requests.push({ path: request.url as string, range: request.headers.range });
    (answers[Math.min(requests.length, answers.length) - 1] as Answer)(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/archive`, requests };
}

/** Tells when a download has so many bytes of the file on the disk, so that nothing has to guess how long that takes. */
export function watchBytes(): { onProgress: (progress: FetchProgress) => void; at: (bytes: number) => Promise<void> } {
  const waiting = new Map<number, () => void>();
  return {
    onProgress: ({ phase, done }) => {
      if (phase === 'download') waiting.get(done)?.();
    },
    at: (bytes) => new Promise((resolve) => waiting.set(bytes, resolve)),
  };
}

interface GiveOptions {
  /** So many bytes of the file come; the connection breaks when `received` is fulfilled. */
  readonly cut?: { readonly at: number; readonly received: Promise<void> };
  readonly ignoreRange?: boolean;
}

/** The archive as a good server gives it, ranges and all. */
export function give(archive: Uint8Array, { cut, ignoreRange = false }: GiveOptions = {}): Answer {
  return (response, request) => {
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const start = range === null || ignoreRange ? 0 : Number(range[1]);
    const headers = { 'content-length': archive.length - start };
    if (start === 0) response.writeHead(200, headers);
    else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${archive.length - 1}/${archive.length}` });
    if (cut === undefined) response.end(archive.subarray(start));
    else {
      response.write(archive.subarray(start, cut.at));
      void cut.received.then(() => response.destroy());
    }
  };
}

export function status(code: number): Answer {
  return (response) => response.writeHead(code).end('no');
}
