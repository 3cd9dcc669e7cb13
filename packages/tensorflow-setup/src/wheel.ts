/**
 * Takes chosen files out of a wheel (a zip archive, PEP 427): streamed, each within a limit of size and with the hash that the wheel's RECORD has for it.
 * Names are not trusted to be paths: the caller says where each goes. What is no whole wheel, or not what it says it is, is a CodaError.
 */
import { CodaError } from '@coda-nets/core';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import yauzl, { type Entry, type ZipFile } from 'yauzl';

/** TensorFlow's library for GPUs is about one gigabyte. */
const MAX_LIBRARY = 4e9;
/** Headers, lists, licences; the notices of third parties are a few hundred kilobytes. */
const MAX_TEXT = 32e6;
/** TensorFlow's has 15,632. */
const MAX_ENTRIES = 200_000;

export interface TakenFile {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Wheel {
  /** Every file with its size when unpacked. */
  readonly entries: ReadonlyMap<string, number>;
  /** A small file as text; undefined where there is none of that name. */
  text(name: RegExp): Promise<string | undefined>;
  /** Writes every file for which `to` gives a path there. */
  take(to: (name: string) => string | undefined, signal?: AbortSignal): Promise<readonly TakenFile[]>;
  close(): void;
}

export async function openWheel(path: string): Promise<Wheel> {
  const where = basename(path);
  const zip = await whole(where, () => yauzl.openPromise(path, { autoClose: false, validateEntrySizes: true, strictFileNames: true }));
  const entries = new Map<string, Entry>();
  try {
    if (zip.entryCount > MAX_ENTRIES) throw malformed(where, `it claims ${zip.entryCount} files, more than ${MAX_ENTRIES}`);
    await whole(where, async () => {
      for await (const entry of zip.eachEntry()) {
        if (entry.fileName.endsWith('/')) continue;
        if (entries.has(entry.fileName)) throw malformed(where, `two files have the name ${entry.fileName}`);
        entries.set(entry.fileName, entry);
      }
    });
  } catch (error) {
    zip.close();
    throw error;
  }
  let record: Promise<ReadonlyMap<string, string>> | undefined;
  const text = async (name: RegExp): Promise<string | undefined> => {
    const entry = [...entries.values()].find(({ fileName }) => name.test(fileName));
    return entry && (await readText(where, zip, entry));
  };
  return {
    entries: new Map([...entries].map(([name, { uncompressedSize }]) => [name, uncompressedSize])),
    text,
    take: async (to, signal) => {
      record ??= text(/^[^/]+\.dist-info\/RECORD$/).then((list) => parseRecord(where, list));
      const hashes = await record;
      const taken: TakenFile[] = [];
      for (const [name, entry] of entries) {
        const target = to(name);
        if (target === undefined) continue;
        const expected = hashes.get(name);
        if (expected === undefined) throw malformed(where, `its RECORD has no hash of ${name}`);
        const file = await writeEntry(where, zip, entry, target, signal);
        if (file.sha256 !== expected) {
          throw new CodaError({
            kind: 'mismatch',
            where: `${where}: ${name}`,
            problem: 'the content does not have the hash that the wheel’s RECORD gives',
            expected,
            got: file.sha256,
            hint: 'Fetch the wheel again.',
          });
        }
        taken.push(file);
      }
      return taken;
    },
    close: () => zip.close(),
  };
}

/** sha256, as hexadecimal digits. */
export async function hashOfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, { signal });
  return hash.digest('hex');
}

async function writeEntry(where: string, zip: ZipFile, entry: Entry, path: string, signal: AbortSignal | undefined): Promise<TakenFile> {
  const { fileName: name, uncompressedSize: bytes } = entry;
  const limit = /\.(so|bc)\b|\/bin\//.test(name) ? MAX_LIBRARY : MAX_TEXT;
  if (bytes > limit) throw malformed(where, `${name} claims ${bytes} bytes, more than ${limit}`);
  await mkdir(dirname(path), { recursive: true });
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk: Uint8Array, _, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const stream = await whole(where, () => zip.openReadStreamPromise(entry));
  // errors of the disk keep their code
  await whole(where, () =>
    pipeline(stream, hashing, createWriteStream(path, { flags: 'wx', mode: /\/bin\//.test(name) ? 0o755 : 0o644 }), { signal }),
  );
  return { name, path, bytes, sha256: hash.digest('hex') };
}

async function readText(where: string, zip: ZipFile, entry: Entry): Promise<string> {
  if (entry.uncompressedSize > MAX_TEXT)
    throw malformed(where, `${entry.fileName} claims ${entry.uncompressedSize} bytes, more than ${MAX_TEXT}`);
  return whole(where, async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Uint8Array);
    return Buffer.concat(chunks).toString('utf8');
  });
}

/** Lines `path,sha256=<base64url>,bytes`; paths with commas stand in quotes. */
function parseRecord(where: string, list: string | undefined): ReadonlyMap<string, string> {
  if (list === undefined) throw malformed(where, 'it has no RECORD, the list of its files');
  const hashes = new Map<string, string>();
  for (const line of list.split(/\r?\n/)) {
    const match = /^(?:"([^"]+)"|([^,"]+)),sha256=([\w-]{43})=?,\d+$/.exec(line);
    if (match !== null) hashes.set((match[1] ?? match[2]) as string, Buffer.from(match[3] as string, 'base64url').toString('hex'));
  }
  return hashes;
}

/** Turns what yauzl and zlib say of damaged archives into a CodaError; what the disk says stays. */
async function whole<T>(where: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const { code, message, name } = cause as NodeJS.ErrnoException;
    if (CodaError.isInstance(cause) || name === 'AbortError' || (code !== undefined && /^E[A-Z]+$/.test(code))) throw cause;
    throw malformed(where, message, cause);
  }
}

function malformed(where: string, problem: string, cause?: unknown): CodaError {
  return new CodaError({
    kind: 'malformed',
    where,
    problem: `not a whole wheel: ${problem}`,
    hint: 'It may have been downloaded in part: fetch it again.',
    cause,
  });
}
