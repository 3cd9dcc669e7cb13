import { mkdirSync } from 'node:fs';
import { readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError } from '@coda-nets/core';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { fetchFiles, type FetchOptions, type FetchProgress } from '../../src/data/fetch-cifar10.ts';
import { openCifar10 } from '../../src/data/open-cifar10.ts';
import { syntheticDataset } from '../../src/data/synthetic-dataset.ts';
import { writeCifar10 } from '../../src/data/write-cifar10.ts';
import {
  files,
  give,
  members,
  officialArchive,
  pngArchive,
  serve,
  sourceOf,
  status,
  toy,
  watchBytes,
  type Answer,
} from './archive-server.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Longer than any pause of a busy machine: where a time-out is the point, the clock is turned. */
const timing = { connectMs: 60_000, stallMs: 90_000, pauseMs: 1 };
const everything = [...files.map(({ name }) => name), 'batches.meta.txt', 'coda-dataset.json'].sort();

async function fetchInto(to: string, options: FetchOptions) {
  return fetchFiles(files, { to, timing, ...options });
}

/** Lets a test turn the clock of `setTimeout`. */
function useTurnableClock(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
}

async function expectWhole(folder: string): Promise<void> {
  expect((await readdir(folder)).sort()).toEqual(everything);
  for (const { name, records } of members) expect(new Uint8Array(await readFile(join(folder, name)))).toEqual(records);
}

describe('fetching', () => {
  test.each(['official', 'png'] as const)('the %s layout ends in the same files; a second call does nothing', async (layout) => {
    const archive = await (layout === 'official' ? officialArchive() : pngArchive());
    const { url, requests } = await serve(give(archive));
    const folder = join(await temporaryFolder(), 'deep', 'cifar10');
    const progress: FetchProgress[] = [];
    const sources = [sourceOf(archive, url, layout)];
    const result = await fetchInto(folder, { sources, onProgress: (p) => progress.push(p) });
    expect(result).toEqual({ folder, source: `test ${layout}`, fetched: true });
    await expectWhole(folder);
    const dataset = await openCifar10(folder);
    expect(dataset.split('train').images).toEqual(toy.split('train').images);
    expect(dataset.split('test').labels).toEqual(toy.split('test').labels);
    expect(dataset.classNames[3]).toBe('cat');
    expect(progress.findLast(({ phase }) => phase === 'download')).toMatchObject({ done: archive.length, total: archive.length });
    expect(progress.at(-1)).toMatchObject({ phase: 'unpack', done: 6, total: 6 });

    expect(await fetchInto(folder, { sources })).toEqual({ ...result, fetched: false });
    expect(requests.length).toBe(1);
  });

  test('goes on after a cut connection from the byte it had', async () => {
    const archive = await officialArchive();
    const { at, onProgress } = watchBytes();
    const cut = (bytes: number) => give(archive, { cut: { at: bytes, received: at(bytes) } });
    const { url, requests } = await serve(cut(1000), status(503), cut(3000), give(archive));
    const folder = await temporaryFolder();
    await fetchInto(folder, { sources: [sourceOf(archive, url)], onProgress });
    expect(requests.map(({ range }) => range)).toEqual([undefined, 'bytes=1000-', 'bytes=1000-', 'bytes=3000-']);
    await expectWhole(folder);
  });

  test('goes on in a later call, and starts over where the server ignores the range', async () => {
    const archive = await officialArchive();
    const folder = await temporaryFolder();
    const { at, onProgress } = watchBytes();
    const bad = await serve(give(archive, { cut: { at: 2000, received: at(2000) } }), status(503));
    await expect(fetchInto(folder, { sources: [sourceOf(archive, bad.url)], onProgress })).rejects.toThrow(
      'fetchCifar10: no source gave the data set (test official: the download failed: the server answered 503). Run it again',
    );
    expect(bad.requests.length).toBe(5);
    expect(await readdir(folder)).toEqual(['official.tgz.part']);
    const good = await serve(give(archive, { ignoreRange: true }));
    await fetchInto(folder, { sources: [sourceOf(archive, good.url)] });
    expect(good.requests.map(({ range }) => range)).toEqual(['bytes=2000-']);
    await expectWhole(folder);
  });

  test('a damaged rest of an earlier call is thrown away and fetched once more', async () => {
    const archive = await officialArchive();
    const { url, requests } = await serve(give(archive));
    for (const rest of [new Uint8Array(500), new Uint8Array(archive.length), new Uint8Array(archive.length + 1)]) {
      const folder = await temporaryFolder();
      await writeFile(join(folder, 'official.tgz.part'), rest);
      await fetchInto(folder, { sources: [sourceOf(archive, url)] });
      await expectWhole(folder);
    }
    expect(requests.map(({ range }) => range)).toEqual(['bytes=500-', undefined, undefined, undefined]);
  });

  test('a stalled download is cut and goes on', async () => {
    const archive = await officialArchive();
    const stalled = (response: Parameters<Answer>[0]) => {
      response.writeHead(200, { 'content-length': archive.length });
      response.write(archive.subarray(0, 700));
    };
    const { url, requests } = await serve(stalled, give(archive));
    const folder = await temporaryFolder();
    const { at, onProgress } = watchBytes();
    useTurnableClock();
    void at(700).then(() => vi.advanceTimersByTime(timing.stallMs));
    await fetchInto(folder, { sources: [sourceOf(archive, url)], onProgress });
    expect(requests.map(({ range }) => range)).toEqual([undefined, 'bytes=700-']);
  });
});

describe('failing over', () => {
  const failures = {
    'a server that says nothing': [() => vi.advanceTimersByTime(timing.connectMs), 'the download failed: no answer within 60 s'],
    'a server without the file': [status(404), 'the download failed: the server answered 404'],
    'another size': [(response: Parameters<Answer>[0]) => response.end('short'), 'the file does not have the known size; expected'],
    'more than the size': [
      (response: Parameters<Answer>[0]) => {
        response.writeHead(200);
        response.end(new Uint8Array(1_000_000));
      },
      'the file does not have the known size; expected',
    ],
  } as const;
  test.each(Object.entries(failures))('%s: the second source follows, and one line says why', async (_, [answer, reason]) => {
    const [official, png] = [await officialArchive(), await pngArchive()];
    const first = await serve(answer);
    const second = await serve(give(png));
    const folder = await temporaryFolder();
    const lines: string[] = [];
    useTurnableClock();
    const result = await fetchInto(folder, {
      sources: [sourceOf(official, first.url), sourceOf(png, second.url, 'png')],
      onProgress: ({ phase, message }) => phase === 'failed' && lines.push(message ?? ''),
    });
    expect(result.source).toBe('test png');
    expect(first.requests.length).toBe(1);
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain(`${first.url}: ${reason}`);
    expect(lines[0]).not.toContain('\n');
    await expectWhole(folder);
  });

  test('a port where nobody listens is given up at once', async () => {
    const archive = await officialArchive();
    const folder = await temporaryFolder();
    await expect(fetchInto(folder, { sources: [sourceOf(archive, 'http://127.0.0.1:1/x')] })).rejects.toThrow(
      /^fetchCifar10: no source gave the data set \(test official: the download failed: [^)]+\)\. Run it again when/,
    );
  });

  test('an archive with a wrong hash is never unpacked nor kept', async () => {
    const archive = await officialArchive();
    const forged = Uint8Array.from(archive);
    forged[archive.length >> 1] = (forged[archive.length >> 1] as number) ^ 1;
    const { url, requests } = await serve(give(forged));
    const folder = await temporaryFolder();
    const lines: string[] = [];
    const call = fetchInto(folder, {
      sources: [sourceOf(archive, url)],
      onProgress: ({ phase, message }) => phase === 'failed' && lines.push(message ?? ''),
    });
    await expect(call).rejects.toThrow(
      'no source gave the data set (test official: official.tgz does not have the known sha256 hash, so it is not used)',
    );
    await expect(call).rejects.toSatisfy((error) => CodaError.isInstance(error) && error.kind === 'unavailable');
    expect(lines[0]).toMatch(/not used; expected [0-9a-f]{64}, got [0-9a-f]{64}$/);
    expect(requests.length).toBe(1);
    expect(await readdir(folder)).toEqual([]);
  });

  test('the other way of a source is taken where its download fails', async () => {
    const png = await pngArchive();
    const { url } = await serve(status(403));
    const obtain = vi.fn(async (path: string) => writeFile(path, png));
    const folder = await temporaryFolder();
    await fetchInto(folder, { sources: [{ ...sourceOf(png, url, 'png'), obtain }] });
    expect(obtain).toHaveBeenCalledOnce();
    await expectWhole(folder);
  });

  test.each([
    ['[1,2]', 'not the labels; expected 20 integers from 0 to 9, got 2 values'],
    [`[${'10,'.repeat(19)}10]`, 'not the labels; expected 20 integers from 0 to 9, got 20 values'],
    ['{', 'not JSON'],
    [`[${'3,'.repeat(19)}3]`, 'test png: data_batch_1.bin: not the known content; expected'],
  ])('labels %s in an archive whose hash is right', async (labels, message) => {
    const png = await pngArchive({ labels });
    const { url } = await serve(give(png));
    const folder = await temporaryFolder();
    const lines: string[] = [];
    const onProgress = ({ phase, message: line }: FetchProgress) => phase === 'failed' && lines.push(line ?? '');
    await expect(fetchInto(folder, { sources: [sourceOf(png, url, 'png')], onProgress })).rejects.toThrow('no source gave');
    expect(lines[0]).toContain(message);
    expect(await readdir(folder)).toEqual(['png.tgz.part']);
  });

  test('members that are missing or too large are named', async () => {
    for (const [content, problem] of [
      [members.slice(1), 'members are missing; expected data_batch_1.bin'],
      [
        members.map((m) => ({ ...m, records: new Uint8Array(m.records.length + 1) })),
        'data_batch_1.bin: larger than it can be; expected at most 12292 bytes, got 12293',
      ],
    ] as const) {
      const archive = await officialArchive(content);
      const { url } = await serve(give(archive));
      const lines: string[] = [];
      const onProgress = ({ phase, message }: FetchProgress) => phase === 'failed' && lines.push(message ?? '');
      await expect(fetchInto(await temporaryFolder(), { sources: [sourceOf(archive, url)], onProgress })).rejects.toMatchObject({
        kind: 'unavailable',
      });
      expect(lines[0]).toContain(problem);
    }
  });
});

describe('the folder', () => {
  test('is repaired where a file is cut, damaged or gone, and left alone where it was only touched', async () => {
    const archive = await officialArchive();
    const { url, requests } = await serve(give(archive));
    const sources = [sourceOf(archive, url)];
    const folder = await temporaryFolder();
    await fetchInto(folder, { sources });
    const path = join(folder, 'data_batch_4.bin');
    const damages = [
      () => truncate(path, 3073),
      async () => writeFile(path, new Uint8Array((await stat(path)).size)),
      () => rm(path),
      () => rm(join(folder, 'batches.meta.txt')),
      () => writeFile(join(folder, 'coda-dataset.json'), '{"dataset": 3'),
    ];
    const downloads: number[] = [];
    for (const damage of damages) {
      await damage();
      const before = requests.length;
      await fetchInto(folder, { sources });
      downloads.push(requests.length - before);
      await expectWhole(folder);
    }
    // The last two cost no download: the images themselves are whole.
    expect(downloads).toEqual([1, 1, 1, 0, 0]);
    await utimes(path, new Date(0), new Date(0));
    expect((await fetchInto(folder, { sources })).fetched).toBe(false);
    expect(requests.length).toBe(4);
  });

  test('takes over files that were unpacked there by hand', async () => {
    const folder = await temporaryFolder();
    for (const { name, records } of members) await writeFile(join(folder, name), records);
    expect(await fetchInto(folder, { sources: [] })).toEqual({ folder, source: 'files found in place', fetched: false });
    await expectWhole(folder);
  });

  test('of another data set is not overwritten', async () => {
    const folder = await temporaryFolder();
    await writeCifar10(folder, syntheticDataset({ perClass: 1 }));
    await expect(fetchInto(folder, { sources: [] })).rejects.toThrow(
      `fetchCifar10: ${folder}: this folder holds another data set, which would be overwritten; ` +
        'expected a new folder or one of cifar10, got "synthetic"',
    );
  });

  test('that cannot be made is one clear error', async () => {
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    await expect(fetchInto(join(file, 'below'), { sources: [] })).rejects.toThrow(
      `fetchCifar10: ${join(file, 'below')}: the folder cannot be written (ENOTDIR, mkdir). CIFAR-10 needs`,
    );
  });

  test.each(['data_batch_3.bin', 'batches.meta.txt', 'coda-dataset.json'])(
    'where %s cannot be written ends the call at once, and no other source is asked',
    async (name) => {
      const [official, png] = [await officialArchive(), await pngArchive()];
      const [first, second] = [await serve(give(official)), await serve(give(png))];
      const folder = await temporaryFolder();
      // found by nobody before the archive is unpacked
      const onProgress = ({ phase, done }: FetchProgress) =>
        phase === 'unpack' && done === 0 && mkdirSync(join(folder, name), { recursive: true });
      const sources = [sourceOf(official, first.url), sourceOf(png, second.url, 'png')];
      const call = fetchInto(folder, { sources, onProgress });
      await expect(call).rejects.toThrow(
        `fetchCifar10: ${folder}: the folder cannot be written (${name}: this is a folder). CIFAR-10 needs 330 MB`,
      );
      await expect(call).rejects.toMatchObject({ kind: 'unavailable' });
      expect(second.requests).toEqual([]);
      expect(await readdir(folder)).toContain('official.tgz.part');
    },
  );

  test('two calls at once fetch once', async () => {
    const archive = await officialArchive();
    const waits: FetchProgress[] = [];
    let oneWaits = (): void => undefined;
    const waiting = new Promise<void>((resolve) => (oneWaits = resolve));
    const { url, requests } = await serve((response, request) => void waiting.then(() => give(archive)(response, request)));
    const folder = await temporaryFolder();
    const onProgress = (p: FetchProgress) => {
      if (p.phase !== 'wait') return;
      waits.push(p);
      oneWaits();
    };
    const call = () => fetchInto(folder, { sources: [sourceOf(archive, url)], onProgress });
    const results = await Promise.all([call(), call()]);
    expect(results.map(({ fetched }) => fetched).sort((a, b) => Number(a) - Number(b))).toEqual([false, true]);
    expect(requests.length).toBe(1);
    expect(waits.length).toBe(1);
    await expectWhole(folder);
  });

  test('the lock of a process that died is taken over, and what it left is removed', async () => {
    const archive = await officialArchive();
    const { url } = await serve(give(archive));
    const folder = await temporaryFolder();
    const { hostname } = await import('node:os');
    // No process has this id: the largest of Linux is 2^22.
    await writeFile(join(folder, '.lock'), JSON.stringify({ pid: 2 ** 30, host: hostname() }));
    await writeFile(join(folder, 'data_batch_2.bin.1073741824-0badcafe.tmp'), 'half');
    await fetchInto(folder, { sources: [sourceOf(archive, url)] });
    await expectWhole(folder);
  });

  test('a call that is ended keeps what it has and lets go of the folder', async () => {
    const archive = await officialArchive();
    const abort = new AbortController();
    const { url } = await serve((response) => {
      response.writeHead(200, { 'content-length': archive.length });
      response.write(archive.subarray(0, 900));
    });
    const folder = await temporaryFolder();
    const onProgress = ({ phase, done }: FetchProgress) => phase === 'download' && done === 900 && abort.abort();
    await expect(fetchInto(folder, { sources: [sourceOf(archive, url)], signal: abort.signal, onProgress })).rejects.toThrow('aborted');
    expect(await readdir(folder)).toEqual(['official.tgz.part']);
    expect((await stat(join(folder, 'official.tgz.part'))).size).toBe(900);
  });
});
