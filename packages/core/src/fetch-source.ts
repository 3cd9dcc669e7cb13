/**
 * What is behind a URL, a range at a time (RFC 9110, section 14): the first request asks for the beginning and learns the size. A server that knows no
 * ranges sends everything instead, which is then kept in memory if it is small, and refused if it is not.
 */
import { allocateBytes } from './allocate-bytes.ts';
import { memorySource, type ByteSource, type ReadOptions, type SourceReadOptions } from './byte-source.ts';
import { CodaError } from './errors.ts';

/** The header of a file with 700 tensors, at the cost of no second request. */
const prefixBytes = 65_536;
/** Larger than a ResNet-152 in float32. */
const defaultMaxDownload = 2 ** 28;

export interface FetchOptions extends ReadOptions {
  /** With headers or credentials of your own: `(url, init) => fetch(url, { ...init, credentials: 'include' })`. Default: the global one. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** A server without ranges is asked for the whole file, if that has at most so many bytes: 2²⁸ unless given, 0 to refuse. */
  readonly maxDownload?: number | undefined;
}

interface Resource {
  readonly url: string;
  /** The URL without what may be secret in it. */
  readonly where: string;
  readonly fetch: NonNullable<FetchOptions['fetch']>;
}

/** `onProgress` is told of the download of a server without ranges; its total is what has come, where the server does not say it. */
export async function fetchSource(url: URL, options: FetchOptions = {}): Promise<ByteSource> {
  const { fetch = (input, init) => globalThis.fetch(input, init), signal } = options;
  const resource: Resource = { url: url.href, where: shownUrl(url), fetch };
  const response = await request(resource, 0, prefixBytes, signal);
  if (response.status === 200) return memorySource(await download(response, resource.where, options), resource.where);
  const { end, size } = contentRange(response, resource.where, 0, prefixBytes);
  const etag = response.headers.get('etag');
  const prefix = await bodyOf(response, end, resource.where);
  return {
    where: resource.where,
    size,
    async read(begin, end, { onBytes, signal, into }: SourceReadOptions = {}) {
      if (end <= prefix.length) {
        onBytes?.(end - begin);
        return prefix.slice(begin, end);
      }
      if (begin === end) return new Uint8Array(0);
      const part = await request(resource, begin, end, signal);
      const got = part.status === 206 ? contentRange(part, resource.where, begin, end) : undefined;
      if (got?.size !== size || part.headers.get('etag') !== etag) {
        await part.body?.cancel();
        throw unreadable(resource.where, 'the file changed on the server while it was read');
      }
      if (got.end !== end) throw unreadable(resource.where, 'the server sent another range', `bytes up to ${end}`, `${got.end}`);
      return bodyOf(part, end - begin, resource.where, { onBytes, signal, into });
    },
    close: async () => undefined,
  };
}

async function request({ url, where, fetch }: Resource, begin: number, end: number, signal?: AbortSignal): Promise<Response> {
  const init: RequestInit = { headers: { range: `bytes=${begin}-${end - 1}` } };
  if (signal !== undefined) init.signal = signal;
  const response = await reached(where, signal, () => fetch(url, init));
  if (response.status === 206 || (response.status === 200 && begin === 0)) return response;
  await response.body?.cancel();
  if (response.status === 200) throw unreadable(where, 'the file changed on the server while it was read');
  throw unreadable(where, `the server answered ${response.status} ${response.statusText}`.trimEnd());
}

/** Where a partial answer ends, and the size of the whole. It must begin where it was asked to, and go on for no longer. */
function contentRange(response: Response, where: string, begin: number, end: number): { end: number; size: number } {
  const text = response.headers.get('content-range');
  if (text === null) {
    throw unreadable(where, 'the answer does not say which range of the file it is', undefined, undefined, {
      hint: 'A server of another origin must name Content-Range in Access-Control-Expose-Headers.',
    });
  }
  const [first, last, size] = (/^bytes (\d+)-(\d+)\/(\d+)$/.exec(text)?.slice(1) ?? []).map(Number);
  const valid = first === begin && last !== undefined && size !== undefined && last >= begin && last < Math.min(end, size);
  const encoding = response.headers.get('content-encoding') ?? 'identity';
  if (!valid || !Number.isSafeInteger(size) || encoding !== 'identity') {
    const got = encoding === 'identity' ? text.slice(0, 80) : `${text.slice(0, 80)}, encoded as ${encoding.slice(0, 40)}`;
    throw unreadable(where, 'the server sent another range', `bytes ${begin}-${end - 1} as they are`, got);
  }
  return { end: last + 1, size };
}

async function download(response: Response, where: string, options: FetchOptions): Promise<Uint8Array> {
  const { maxDownload = defaultMaxDownload, onProgress, signal } = options;
  const encoded = response.headers.has('content-encoding');
  const length = encoded ? null : response.headers.get('content-length');
  const size = length === null ? undefined : Number(length);
  const refusal = (got: string): CodaError =>
    unreadable(where, 'the server sends no ranges, and the whole file is too large', `at most ${maxDownload} bytes`, got, {
      hint: 'Take a server that answers range requests, or raise maxDownload.',
    });
  if (size !== undefined && !(size <= maxDownload)) {
    await response.body?.cancel();
    throw refusal(`${size}`);
  }
  let done = 0;
  const onBytes = (count: number): void => {
    done += count;
    onProgress?.(done, size ?? done);
  };
  if (size !== undefined) return bodyOf(response, size, where, { onBytes, signal });
  const chunks: Uint8Array[] = [];
  for await (const chunk of chunksOf(response, where, signal)) {
    onBytes(chunk.length);
    if (done > maxDownload) throw refusal(`${done} or more`);
    chunks.push(chunk);
  }
  const bytes = allocateBytes(done, where);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** The whole body, which must have `size` bytes. */
async function bodyOf(
  response: Response,
  size: number,
  where: string,
  { onBytes, signal, into }: SourceReadOptions = {},
): Promise<Uint8Array> {
  const bytes = into !== undefined && into.length >= size ? into.subarray(0, size) : allocateBytes(size, where);
  let filled = 0;
  for await (const chunk of chunksOf(response, where, signal)) {
    if (filled + chunk.length > size) throw unreadable(where, 'the server sent more than it said', `${size} bytes`);
    bytes.set(chunk, filled);
    filled += chunk.length;
    onBytes?.(chunk.length);
  }
  if (filled < size) throw unreadable(where, 'the answer ended early', `${size} bytes`, `${filled}`);
  return bytes;
}

/** Leaving the loop cancels the body. */
async function* chunksOf(response: Response, where: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await reached(where, signal, () => reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function reached<T>(where: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    signal?.throwIfAborted();
    const { message, cause: inner } = cause as Error;
    const code = (inner as { code?: string } | undefined)?.code;
    throw unreadable(where, `could not be fetched (${code ?? message})`, undefined, undefined, { cause });
  }
}

/** Users, passwords and query strings, which may hold tokens, are not for error messages. */
function shownUrl(url: URL): string {
  const shown = new URL(url);
  shown.username = shown.password = shown.search = shown.hash = '';
  return shown.href.length > 200 ? `${shown.href.slice(0, 200)}…` : shown.href;
}

function unreadable(
  where: string,
  problem: string,
  expected?: string,
  got?: string,
  more: { readonly hint?: string; readonly cause?: unknown } = {},
): CodaError {
  return new CodaError({ kind: 'unreadable', where, problem, expected, got, ...more });
}
