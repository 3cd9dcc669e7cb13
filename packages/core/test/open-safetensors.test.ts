/** The same files, opened in every way there is: by path, by URL with ranges and without, as a Blob. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CodaError, decodeSafetensors, encodeSafetensors, ndArray, openSafetensors as openByUrl, type NamedArrays } from '../src/index.ts';
import { openSafetensors, writeSafetensors } from '../src/node/index.ts';
import { goldenDTypes } from './array-files.ts';
import { fileServer, type FileServer } from './file-server.ts';
import { safetensorsBytes } from './safetensors-bytes.ts';

/** One tensor of 120 kB between two of 8 bytes. */
const large: NamedArrays = {
  a: ndArray('int64', [1], BigInt64Array.of(-1n)),
  big: ndArray(
    'float32',
    [3, 10_000],
    Float32Array.from({ length: 30_000 }, (_, i) => i),
  ),
  z: ndArray('uint8', [8], Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)),
};
const largeBytes = encodeSafetensors(large, { format: 'pt' });
const shard = (tensors: NamedArrays, part: string): Uint8Array => encodeSafetensors(tensors, { format: 'pt', part });
const index = (weightMap: unknown): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ metadata: { total_size: 1.2e5, deep: [[{}]] }, weight_map: weightMap }));
const files: Record<string, Uint8Array> = {
  'large.safetensors': largeBytes,
  'dtypes.safetensors': goldenDTypes.file,
  'cut.safetensors': largeBytes.subarray(0, 100_000),
  'empty.safetensors': new Uint8Array(0),
  'model.safetensors.index.json': index({ big: 'part 1%2f.safetensors', a: 'part 2.safetensors', z: 'part 2.safetensors' }),
  'part 1%2f.safetensors': shard({ big: large['big']!, unlisted: large['z']! }, '1'),
  'part 2.safetensors': shard({ a: large['a']!, z: large['z']! }, '2'),
  'missing-tensor.index.json': index({ big: 'part 2.safetensors', a: 'part 2.safetensors' }),
  'missing-file.index.json': index({ a: 'part 2.safetensors', big: 'none.safetensors' }),
};

let folder: string;
let server: FileServer;
let plain: FileServer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'coda-core-'));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  const served = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`/${encodeURIComponent(name)}`, bytes]));
  server = await fileServer(served);
  plain = await fileServer(served, { ranges: false });
});
afterAll(async () => {
  await Promise.all([server.close(), plain.close()]);
  rmSync(folder, { recursive: true });
});

const ways: Readonly<Record<string, (name: string) => string | URL>> = {
  'a path': (name) => join(folder, name),
  'a file URL': (name) => pathToFileURL(join(folder, name)),
  'a URL': (name) => `${server.origin}/${encodeURIComponent(name)}`,
  'a URL without ranges': (name) => new URL(`${plain.origin}/${encodeURIComponent(name)}`),
};

async function errorOf(promise: Promise<unknown>): Promise<CodaError> {
  const error: unknown = await promise.then(
    () => new Error('nothing was thrown'),
    (reason: unknown) => reason,
  );
  if (CodaError.isInstance(error)) return error;
  throw error;
}

describe.each(Object.entries(ways))('openSafetensors of %s', (_, locate) => {
  it('lists what the header says', async () => {
    const file = await openSafetensors(locate('large.safetensors'));
    expect(file.metadata).toEqual({ format: 'pt' });
    expect(file.tensors).toEqual({
      a: { dtype: 'I64', shape: [1], bytes: 8 },
      big: { dtype: 'F32', shape: [3, 10_000], bytes: 120_000 },
      z: { dtype: 'U8', shape: [8], bytes: 8 },
    });
    await file.close();
  });

  it('reads one, some, all, and tells how far it is', async () => {
    const file = await openSafetensors(locate('large.safetensors'));
    expect(await file.read('z')).toEqual(large['z']);
    expect(await file.readAll({ names: ['z', 'a', 'z'] })).toEqual({ a: large['a'], z: large['z'] });
    const progress: [number, number][] = [];
    expect(await file.readAll({ onProgress: (done, total) => progress.push([done, total]) })).toEqual(large);
    expect(progress.at(-1)).toEqual([120_016, 120_016]);
    expect(progress.map(([done]) => done)).toEqual(progress.map(([done]) => done).toSorted((a, b) => a - b));
    await file.close();
  });

  it('reads every dtype as decodeSafetensors does, together and apart', async () => {
    const { tensors } = decodeSafetensors(goldenDTypes.file, 'golden');
    const file = await openSafetensors(locate('dtypes.safetensors'));
    expect(await file.readAll()).toEqual(tensors);
    for (const [name, array] of Object.entries(tensors)) expect(await file.read(name)).toEqual(array);
    await file.close();
  });

  it('reads a model in several files', async () => {
    const file = await openSafetensors(locate('model.safetensors.index.json'));
    expect(file.metadata).toEqual({ format: 'pt' });
    expect(Object.keys(file.tensors).toSorted()).toEqual(['a', 'big', 'z']);
    expect(await file.readAll()).toEqual(large);
    expect(await file.read('big')).toEqual(large['big']);
    await file.close();
  });

  it('says what is wrong, and where', async () => {
    const name = (file: string): string => String(locate(file)).replace(/^file:\/\//, '');
    const file = await openSafetensors(locate('large.safetensors'));
    expect((await errorOf(file.read('bug'))).message).toBe(`${name('large.safetensors')}: there is no tensor "bug". Did you mean "big"?`);
    await file.close();
    expect((await errorOf(openSafetensors(locate('cut.safetensors')))).message).toMatch(
      /cut\.safetensors: tensor "big": the data runs past the end/,
    );
    expect((await errorOf(openSafetensors(locate('none.safetensors')))).message).toMatch(
      /none\.safetensors: (no such file|the server answered 404 Not Found)$/,
    );
    expect((await errorOf(openSafetensors(locate('missing-tensor.index.json')))).message).toMatch(
      /part%?2?0? ?2\.safetensors: tensors that the index has in this file are not there: big$/,
    );
    expect((await errorOf(openSafetensors(locate('missing-file.index.json')))).message).toMatch(/none\.safetensors: /);
  });

  it('ends where the signal says so', async () => {
    const file = await openSafetensors(locate('large.safetensors'));
    const reason = new Error('enough');
    await expect(
      openSafetensors(locate('large.safetensors'), { signal: AbortSignal.abort(reason) }).then((f) =>
        f.read('big', { signal: AbortSignal.abort(reason) }),
      ),
    ).rejects.toBe(reason);
    await file.close();
  });
});

describe('by URL', () => {
  it('costs the beginning of the file, and a tensor its own bytes', async () => {
    const before = server.requests.length;
    const file = await openByUrl(`${server.origin}/large.safetensors?token=secret`);
    await file.read('a');
    await file.read('z');
    await file.read('big');
    const tail = largeBytes.length - 8;
    expect(server.requests.slice(before)).toEqual([
      { url: '/large.safetensors?token=secret', range: 'bytes=0-65535', bytes: 65_536 },
      { url: '/large.safetensors?token=secret', range: `bytes=${tail}-${tail + 7}`, bytes: 8 },
      { url: '/large.safetensors?token=secret', range: `bytes=${tail - 120_000}-${tail - 1}`, bytes: 120_000 },
    ]);
  });

  it('fetches nothing between the tensors that are asked for', async () => {
    const file = await openByUrl(`${server.origin}/large.safetensors`);
    const before = server.requests.length;
    await file.readAll({ names: ['a', 'z'] });
    expect(server.requests.slice(before).map(({ bytes }) => bytes)).toEqual([8]);
    await file.readAll();
    expect(server.requests.length - before).toBe(2);
  });

  it('takes the query of an index to the files beside it, and shows it to nobody', async () => {
    const before = server.requests.length;
    await openByUrl(new URL(`${server.origin}/model.safetensors.index.json?token=secret`));
    expect(
      server.requests
        .slice(before)
        .map(({ url }) => url)
        .toSorted(),
    ).toEqual([
      '/model.safetensors.index.json?token=secret',
      '/part%201%252f.safetensors?token=secret',
      '/part%202.safetensors?token=secret',
    ]);
    const error = await errorOf(openByUrl(`${server.origin}/missing-file.index.json?token=secret`));
    expect(error.message).toBe(`${server.origin}/none.safetensors: the server answered 404 Not Found`);
  });

  it('refuses a whole file that is too large where there are no ranges', async () => {
    const error = await errorOf(openByUrl(`${plain.origin}/large.safetensors`, { maxDownload: 100_000 }));
    expect(error.message).toBe(
      `${plain.origin}/large.safetensors: the server sends no ranges, and the whole file is too large; expected at most 100000 bytes, got ${largeBytes.length}. Take a server that answers range requests, or raise maxDownload.`,
    );
    expect(error.kind).toBe('unreadable');
  });

  it('tells of the download of a server without ranges', async () => {
    const progress: [number, number][] = [];
    await openByUrl(`${plain.origin}/large.safetensors`, { onProgress: (done, total) => progress.push([done, total]) });
    expect(progress.at(-1)).toEqual([largeBytes.length, largeBytes.length]);
  });

  it('says that nobody answers, and what is no URL', async () => {
    const gone = await fileServer({});
    await gone.close();
    const error = await errorOf(openByUrl(`${gone.origin}/a?token=secret`));
    expect(error.message).toBe(`${gone.origin}/a: could not be fetched (ECONNREFUSED)`);
    expect((await errorOf(openByUrl('model.safetensors'))).message).toBe(
      'openSafetensors: not a URL; got "model.safetensors". A path is opened by openSafetensors of @coda-nets/core/node.',
    );
  });
});

describe('a server that does wrong', () => {
  const open = (answer: (range: string, call: number) => Response): ReturnType<typeof openByUrl> => {
    let call = 0;
    return openByUrl('https://example.org/w.safetensors', {
      fetch: async (_, init) => answer((init.headers as { range: string }).range, call++),
    });
  };
  const part = (range: string, bytes: Uint8Array, headers: Readonly<Record<string, string>> = {}): Response => {
    const [first, last] = range.slice('bytes='.length).split('-').map(Number) as [number, number];
    const body = bytes.slice(first, last + 1);
    return new Response(body, {
      status: 206,
      headers: { 'content-range': `bytes ${first}-${first + body.length - 1}/${bytes.length}`, ...headers },
    });
  };

  it.each<[string, (range: string) => Response, RegExp]>([
    [
      'hides the range',
      (range) => new Response(largeBytes.slice(0, 65_536), { status: 206, headers: { range } }),
      /does not say which range.*Access-Control-Expose-Headers/,
    ],
    [
      'sends another range',
      (range) => part(range, largeBytes, { 'content-range': 'bytes 8-65543/120320' }),
      /the server sent another range; expected bytes 0-65535 as they are, got bytes 8-65543\/120320$/,
    ],
    ['knows no size', (range) => part(range, largeBytes, { 'content-range': 'bytes 0-65535/*' }), /got bytes 0-65535\/\*$/],
    [
      'claims a size beyond 2^53',
      (range) => part(range, largeBytes, { 'content-range': 'bytes 0-65535/99999999999999999999' }),
      /another range/,
    ],
    ['compresses', (range) => part(range, largeBytes, { 'content-encoding': 'gzip' }), /encoded as gzip$/],
    [
      'sends less',
      (range) => part(range, largeBytes.subarray(0, 1000), { 'content-range': 'bytes 0-65535/120320' }),
      /the answer ended early; expected 65536 bytes, got 1000$/,
    ],
    [
      'sends more',
      (range) => part(range, largeBytes, { 'content-range': 'bytes 0-99/120320' }),
      /the server sent more than it said; expected 100 bytes$/,
    ],
    ['fails', () => new Response(null, { status: 503, statusText: 'Service Unavailable' }), /the server answered 503 Service Unavailable$/],
  ])('that %s', async (_, answer, text) => {
    const error = await errorOf(open(answer));
    expect(error.message).toMatch(text);
    expect(error.message).toMatch(/^https:\/\/example\.org\/w\.safetensors: /);
    expect(error.kind).toBe('unreadable');
  });

  it.each<[string, (range: string) => Response]>([
    ['another size', (range) => part(range, new Uint8Array(largeBytes.length + 1), { etag: '"1"' })],
    ['another etag', (range) => part(range, largeBytes, { etag: '"2"' })],
    ['no ranges any more', () => new Response(largeBytes)],
  ])('that changes the file meanwhile: %s', async (_, answer) => {
    const file = await open((range, call) => (call === 0 ? part(range, largeBytes, { etag: '"1"' }) : answer(range)));
    expect((await errorOf(file.read('big'))).message).toBe(
      'https://example.org/w.safetensors: the file changed on the server while it was read',
    );
  });

  it('that sends a range in part', async () => {
    const file = await open((range, call) => part(call === 0 ? range : range.replace(/-\d+$/, '-70000'), largeBytes));
    expect((await errorOf(file.read('big'))).message).toMatch(/the server sent another range; expected bytes up to \d+, got 70001$/);
  });

  it('that sends no length and no end', async () => {
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(100_000)) });
    const error = await errorOf(openByUrl('https://example.org/w', { fetch: async () => new Response(endless), maxDownload: 1_000_000 }));
    expect(error.message).toMatch(/the whole file is too large; expected at most 1000000 bytes, got 1100000 or more/);
  });
});

describe('an index', () => {
  const opened = async (name: string, bytes: Uint8Array): Promise<CodaError> => {
    writeFileSync(join(folder, name), bytes);
    return errorOf(openSafetensors(join(folder, name)));
  };

  it.each([
    '../x.safetensors',
    '/etc/x.safetensors',
    'a/b.safetensors',
    '..\\x.safetensors',
    'C:x.safetensors',
    '.safetensors',
    'x.bin',
    'a\u0000.safetensors',
    7,
  ])('may not name the file %j', async (shard) => {
    const error = await opened('bad.index.json', index({ w: shard }));
    expect(error.kind).toBe('malformed');
    expect(error.message).toMatch(
      /bad\.index\.json: weight_map: tensor "w": not a file beside the index; expected the name of a \.safetensors file, got /,
    );
  });

  it.each<[string, string | Uint8Array, string]>([
    ['that is not JSON', '{"weight_map":', 'the index is not JSON'],
    ['that is not UTF-8', Uint8Array.of(0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 'the index is not UTF-8'],
    ['without a map', '{"a": {}, "b": 1}', 'weight_map: not an object; got nothing'],
    ['with a tensor twice', '{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}', 'the index has the key "a" twice'],
    ['nested deep', `{"a":${'['.repeat(20)}`, 'the index has brackets nested deeper than 16'],
    [
      'of too many files',
      JSON.stringify({ weight_map: Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`t${i}`, `${i}.safetensors`])) }),
      'weight_map: too many files; expected at most 500',
    ],
  ])('%s is refused', async (_, text, problem) => {
    const error = await opened('bad.index.json', typeof text === 'string' ? new TextEncoder().encode(text) : text);
    expect(error.message).toBe(`${join(folder, 'bad.index.json')}: ${problem}`);
    expect(error.kind).toBe('malformed');
  });
});

describe('a Blob', () => {
  it('is read as a file is', async () => {
    const file = await openByUrl(new Blob([largeBytes]));
    expect(await file.read('big')).toEqual(large['big']);
    const shards = await errorOf(
      openSafetensors(new File([files['model.safetensors.index.json'] as Uint8Array<ArrayBuffer>], 'model.index.json')),
    );
    expect(shards.message).toMatch(/^model\.index\.json: an index alone cannot be read from a Blob/);
  });
});

describe('on disk', () => {
  it('claims no memory for a file of holes', async () => {
    const path = join(folder, 'holes.safetensors');
    const bytes = 2 ** 40;
    const header = safetensorsBytes({
      a: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] },
      b: { dtype: 'U8', shape: [], data_offsets: [bytes, bytes + 1] },
    });
    writeFileSync(path, header);
    truncateSync(path, header.length + bytes + 1);
    const file = await openSafetensors(path);
    expect((await file.read('b')).data).toEqual(Uint8Array.of(0));
    expect((await errorOf(file.read('a'))).message).toBe(`${path}: there is no memory for ${bytes} bytes in one piece`);
    await file.close();
  });

  it('claims what the arrays take, and keeps no 16-bit bytes beside them', async () => {
    const path = join(folder, 'halves.safetensors');
    const tensors = { half: large['big']!, other: ndArray('int16', [4], Int16Array.of(1, 2, 3, 4)), whole: large['a']! };
    await writeSafetensors(path, tensors, {}, { half: 'BF16' });
    const file = await openSafetensors(path);
    const arrays = Object.values(await file.readAll());
    const claimed = [...new Set(arrays.map(({ data }) => data.buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(claimed).toBe(arrays.reduce((sum, { data }) => sum + data.byteLength, 0));
    await file.close();
  });

  it('is written as encodeSafetensors encodes it, or stays as it was', async () => {
    const path = join(folder, 'written.safetensors');
    const { tensors, metadata, halves } = decodeSafetensors(goldenDTypes.file, 'golden');
    await writeSafetensors(path, tensors, metadata, halves);
    const file = await openSafetensors(path);
    expect(await file.readAll()).toEqual(tensors);
    await file.close();
    const x = ndArray('float32', [1], Float32Array.of(1e30));
    expect((await errorOf(writeSafetensors(path, { x }, {}, { x: 'F16' }))).message).toMatch(
      /written\.safetensors: tensor "x": element 0 is finite, and would be infinite in F16/,
    );
    const again = await openSafetensors(path);
    expect(Object.keys(again.tensors)).toEqual(Object.keys(tensors));
    await again.close();
  });
});
