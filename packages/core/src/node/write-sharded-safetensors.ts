/**
 * Writes a model over several safetensors files with an index, as `transformers` reads it and `openSafetensors` too: for files that a host or a file system
 * takes only up to a size. What an index is: `safetensors-index.ts`.
 */
import { basename, dirname, join } from 'node:path';
import { checkHalves, safetensorsPieces } from '../encode-safetensors.ts';
import { CodaError } from '../errors.ts';
import { sizeOf, type NamedArrays, type NdArray } from '../nd-array.ts';
import { bytesOfDType, fileDType, type HalfDType } from '../safetensors-dtypes.ts';
import { isPlainName, maxShards } from '../safetensors-index.ts';
import { shown } from '../shown.ts';
import { writeSafetensors } from './safetensors-files.ts';
import { writeFileAtomic } from './write-file-atomic.ts';

/** `transformers`' own default. */
const defaultShardBytes = 5_000_000_000;
const ending = '.safetensors.index.json';

export interface ShardOptions {
  /** Of every file. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** As `writeSafetensors` takes it. */
  readonly halves?: Readonly<Record<string, HalfDType>> | undefined;
  /** The most bytes of tensors in a file, unless one tensor has more: by default 5·10⁹. */
  readonly shardBytes?: number | undefined;
}

/**
 * Writes `<name>-00001-of-00003.safetensors`, … beside `path`, which is `…/<name>.safetensors.index.json`, in the order of `tensors`; the index comes
 * last. Nothing is written where an array cannot be: a disk that fills up while files of the same names are replaced can leave a mixture, which is to be
 * written again. Returns the names of the files. Throws a CodaError that begins with a path.
 */
export async function writeShardedSafetensors(
  path: string,
  tensors: NamedArrays,
  { metadata = {}, halves = {}, shardBytes = defaultShardBytes }: ShardOptions = {},
): Promise<readonly string[]> {
  const name = basename(path).slice(0, -ending.length);
  if (!path.endsWith(ending) || !isPlainName(`${name}.safetensors`)) {
    throw new CodaError({ kind: 'argument', where: path, problem: 'no name of an index', expected: `a path that ends in <name>${ending}` });
  }
  if (!(shardBytes >= 1)) {
    throw new CodaError({
      kind: 'argument',
      where: `${path}: shardBytes`,
      problem: 'no size',
      expected: 'at least 1',
      got: shown(shardBytes),
    });
  }
  checkHalves(tensors, halves, path);
  const bytes = (key: string): number => bytesOf(tensors[key] as NdArray, Object.hasOwn(halves, key) ? halves[key] : undefined);
  const parts = partsOf(Object.keys(tensors), bytes, shardBytes);
  if (parts.length > maxShards) {
    throw new CodaError({
      kind: 'argument',
      where: `${path}: shardBytes`,
      problem: 'too many files',
      expected: `at most ${maxShards}`,
      got: String(parts.length),
    });
  }
  const digits = (i: number): string => String(i).padStart(5, '0');
  const files = parts.map((_, i) => `${name}-${digits(i + 1)}-of-${digits(parts.length)}.safetensors`);
  const contents = parts.map((part) => ({ tensors: only(part, tensors), halves: only(part, halves) }));
  for (const own of contents) {
    // rounding refuses what would become infinite, which is better known before the first file
    drain(safetensorsPieces(own.tensors, metadata, own.halves, path).pieces);
  }
  for (const [i, own] of contents.entries()) {
    await writeSafetensors(join(dirname(path), files[i] as string), own.tensors, metadata, own.halves);
  }
  const weightMap = Object.fromEntries(parts.flatMap((part, i) => part.map((key) => [key, files[i] as string])));
  const total = parts.flat().reduce((sum, key) => sum + bytes(key), 0);
  await writeFileAtomic(path, `${JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }, undefined, 2)}\n`);
  return files;
}

function drain(pieces: Iterable<Uint8Array>): void {
  for (const piece of pieces) void piece;
}

function only<T>(names: readonly string[], all: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(names.filter((key) => Object.hasOwn(all, key)).map((key) => [key, all[key] as T]));
}

function bytesOf({ shape, dtype }: NdArray, half: HalfDType | undefined): number {
  return sizeOf(shape) * bytesOfDType(half ?? fileDType(dtype));
}

/** One after the other, as many in a file as go in; an empty model is one empty file. */
function partsOf(names: readonly string[], bytes: (name: string) => number, most: number): readonly (readonly string[])[] {
  const parts: string[][] = [[]];
  let filled = 0;
  for (const name of names) {
    const size = bytes(name);
    if (filled > 0 && filled + size > most) {
      parts.push([]);
      filled = 0;
    }
    parts.at(-1)?.push(name);
    filled += size;
  }
  return parts;
}
