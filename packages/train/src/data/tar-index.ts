/**
 * Where the files of a tar archive lie in it: an archive is read in place, nothing is ever unpacked to disk. Header blocks are node-tar's; the walk from
 * one to the next is here, because it jumps over contents. Names are labels, never paths. Not for compressed archives, which cannot be jumped in.
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { Header, Pax } from 'tar';
import { CodaError } from '@coda-nets/core';

export interface TarMember {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Links, devices and what tar has else that is no file, and names that lead out: not members, but told of. */
interface RefusedMember {
  readonly name: string;
  readonly reason: string;
}

export interface TarIndex {
  readonly members: readonly TarMember[];
  readonly refused: readonly RefusedMember[];
  readonly bytes: number;
  /** As of `ImageFile`. */
  readonly touched: string;
}

const block = 512;
/** Of a long name, or an extended header: people's have a few hundred bytes. */
const maxMetaBytes = 1 << 16;
/** Of a name: what file systems allow for a path. */
const maxNameBytes = 4096;
/** A shard of a terabyte of the smallest files; beyond it something else is the matter. */
const maxMembers = 10_000_000;
/** Two null blocks end an archive, and fill its last record, of 20 blocks as GNU tar, bsdtar and Python write them. Longer runs are what an unfinished download left. */
const maxPaddingBytes = 22 * block;
/** Headers are read so many bytes at a time: small files' headers come several in one. */
const windowBytes = 1 << 16;

/** Throws a CodaError of kind `malformed` that names the archive and the place. */
export async function indexTar(path: string): Promise<TarIndex> {
  // a pipe in the place of an archive must not hang the reader
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new CodaError({ kind: 'unreadable', where: path, problem: `cannot be opened (${(cause as NodeJS.ErrnoException).code})`, cause });
  });
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new CodaError({ kind: 'unreadable', where: path, problem: 'not a regular file' });
    const { size, mtimeMs, ctimeMs } = stats;
    if (size === 0) throw malformed(path, 'an empty file, not an archive');
    return { ...(await walk(file, path, size)), bytes: size, touched: `${mtimeMs} ${ctimeMs}` };
  } finally {
    await file.close();
  }
}

async function walk(file: FileHandle, path: string, size: number): Promise<Pick<TarIndex, 'members' | 'refused'>> {
  const read = windowed(file, size);
  const members: TarMember[] = [];
  const refused: RefusedMember[] = [];
  let longName: string | undefined;
  let extended: Pax | undefined;
  let global: Pax | undefined;
  for (let at = 0; ;) {
    if (at + block > size) {
      const left = at < size ? `${size - at} bytes of a header are left` : 'there is no end';
      throw malformed(`${path}: byte ${at}`, `the archive was cut off: ${left}`);
    }
    const bytes = await read(at, block);
    const header = new Header(bytes, 0, extended, global);
    if (header.nullBlock) {
      expectPadding(path, at, size, await read(at, Math.min(size - at, maxPaddingBytes)));
      return { members, refused };
    }
    const place = `${path}: byte ${at}`;
    if (!header.cksumValid) {
      const gzip = at === 0 && bytes[0] === 0x1f && bytes[1] === 0x8b;
      throw malformed(
        place,
        gzip ? 'a compressed archive, which cannot be read in any order' : 'not the header of a tar archive',
        gzip ? 'Unpack it with gunzip: images do not get smaller by it.' : undefined,
      );
    }
    const length = header.size ?? 0;
    const from = at + block;
    if (!Number.isSafeInteger(length) || length < 0 || from + length > size) {
      throw malformed(
        place,
        `the archive was cut off: ${JSON.stringify((longName ?? header.path ?? '').slice(0, 80))} has ${length} bytes and ${size - from} are left`,
      );
    }
    at = from + Math.ceil(length / block) * block;
    const { type } = header;
    const isMeta =
      type === 'ExtendedHeader' || type === 'GlobalExtendedHeader' || type === 'NextFileHasLongPath' || type === 'NextFileHasLongLinkpath';
    if (isMeta) {
      if (length > maxMetaBytes) throw malformed(place, `a header of ${length} bytes; expected at most ${maxMetaBytes}`);
      const text = (await read(from, length)).toString('utf8');
      if (type === 'ExtendedHeader') extended = Pax.parse(text, extended);
      else if (type === 'GlobalExtendedHeader') global = Pax.parse(text, global, true);
      else if (type === 'NextFileHasLongPath') longName = text.replace(/\0.*$/s, '');
      continue;
    }
    const name = (longName ?? header.path ?? '').replace(/^(\.\/)+/, '');
    longName = undefined;
    extended = undefined;
    if (type === 'Directory' || type === 'GNUDumpDir') continue;
    const reason = reasonAgainst(type, name);
    if (reason === undefined) members.push({ name, offset: from, bytes: length });
    else refused.push({ name: name.slice(0, maxNameBytes), reason });
    if (members.length + refused.length > maxMembers) throw malformed(path, `more than ${maxMembers} members`);
  }
}

/** `padding`: what follows the last member at `at`, as far as it may reach. */
function expectPadding(path: string, at: number, size: number, padding: Buffer): void {
  const more = padding.findIndex((byte) => byte !== 0);
  if (more !== -1) {
    throw malformed(
      `${path}: byte ${at + more}`,
      'something follows the end of the archive',
      'Pack the files of archives that were joined into one, or keep them apart.',
    );
  }
  if (size - at <= maxPaddingBytes) return;
  throw new CodaError({
    kind: 'malformed',
    where: `${path}: byte ${at}`,
    problem: 'the archive ends here, and the file does not',
    expected: `at most ${maxPaddingBytes} bytes of padding`,
    got: `${size - at}`,
    hint: 'Fetch it again: so looks a download that did not finish. If it is whole, pack it without a larger blocking factor.',
  });
}

function reasonAgainst(type: string, name: string): string | undefined {
  if (type !== 'File' && type !== 'OldFile' && type !== 'ContiguousFile') return `a ${type} in an archive is not an image`;
  if (name === '') return 'a member without a name';
  if (Buffer.byteLength(name) > maxNameBytes) return `a name of ${Buffer.byteLength(name)} bytes`;
  if (name.startsWith('/') || name.split(/[/\\]/).includes('..') || name.includes('\0')) return 'a name that leads out of the archive';
  return undefined;
}

/** Reads from the file through a window, which is read anew where it does not reach. */
function windowed(file: FileHandle, size: number): (from: number, length: number) => Promise<Buffer> {
  let start = 0;
  let window: Buffer = Buffer.alloc(0);
  return async (from, length) => {
    if (from < start || from + length > start + window.length) {
      start = from;
      const fresh = Buffer.alloc(Math.min(Math.max(length, windowBytes), size - from));
      let filled = 0;
      while (filled < fresh.length) {
        const { bytesRead } = await file.read(fresh, filled, fresh.length - filled, from + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      window = fresh.subarray(0, filled);
    }
    return window.subarray(from - start, from - start + length);
  };
}

function malformed(where: string, problem: string, hint?: string): CodaError {
  return new CodaError({ kind: 'malformed', where, problem, hint });
}
