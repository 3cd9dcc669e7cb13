/**
 * Data sets in tar archives on this machine, as WebDataset has them: the files of a sample follow each other and have one name up to the first dot of
 * its last part; the member with an ending of images is the image, `.cls` its label as a number, or `.json` with a `label`. Names of the classes stand in
 * `classes.txt` beside the archives, a line each, where they have any. https://github.com/webdataset/webdataset
 */
import { open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CodaError, type Random } from '@coda-nets/core';
import { fileSplit, type FileSplit, type ImageDataset } from './image-dataset.ts';
import type { ImageFile } from './image-file.ts';
import { linesOf, splitOf, textOf } from './open-folders.ts';
import { shardOrder, type ShardOrderOptions } from './shard-order.ts';
import { indexTar, type TarMember } from './tar-index.ts';

/** A sample may have more members than its image, so that their names have to say which is; of those below it is one where there is none of these. */
const imageEndings: ReadonlySet<string> = new Set(['.jpg', '.jpeg', '.png', '.webp']);
const rareEndings: ReadonlySet<string> = new Set(['.jpe', '.jfif', '.gif', '.bmp', '.tif', '.tiff', '.ppm', '.pgm']);
/** Enough that neighbours of an archive rarely meet in a batch, and read in few places at a time. */
const defaultOrder: ShardOrderOptions = { readers: 8, buffer: 10_000 };
/** A label is a number of a few digits; beside it JSON may hold a caption. */
const maxLabelBytes = 1 << 16;
const maxClasses = 65_536;
/** Archives indexed at a time. */
const concurrency = 8;
/** What one pattern may mean. */
const maxShards = 1_000_000;

/** Whether a path names shards: a `.tar`, or a pattern of them. */
export function isShardPattern(path: string): boolean {
  return path.endsWith('.tar');
}

/** `pattern`: a path whose file name may have `*`, `?` and number ranges like `{000..146}`. All of it is the training split; where its name has `train`, that of `val` or `test` in its place is the test split. */
export async function openShardPattern(pattern: string, order: ShardOrderOptions = defaultOrder): Promise<ImageDataset> {
  const train = await shardsOf(pattern);
  if (train.length === 0) {
    throw new CodaError({ kind: 'unreadable', where: pattern, problem: 'there are no such archives' });
  }
  const name = basename(pattern);
  let test: readonly string[] = [];
  for (const other of ['val', 'validation', 'test']) {
    if (test.length === 0 && name.includes('train'))
      test = await shardsOf(join(dirname(pattern), name.replace('train', other).replace(/\{\d+\.\.\d+\}/g, '*')));
  }
  return openShards(dirname(pattern), train, test, order);
}

/** The archives of a folder: those whose name begins with val or test are the test split. */
export async function openShardFolder(folder: string, order: ShardOrderOptions = defaultOrder): Promise<ImageDataset> {
  const all = (await readdir(folder)).filter((name) => name.endsWith('.tar') && !name.startsWith('.')).sort();
  const isTest = (name: string): boolean => /^(val|test)/.test(name);
  const at = (name: string): string => join(folder, name);
  return openShards(folder, all.filter((name) => !isTest(name)).map(at), all.filter(isTest).map(at), order);
}

async function openShards(
  folder: string,
  train: readonly string[],
  test: readonly string[],
  order: ShardOrderOptions,
): Promise<ImageDataset> {
  const names = await textOf(join(folder, 'classes.txt'));
  const classNames = names === undefined ? undefined : linesOf(names);
  const trained = await readShards(train, classNames?.length ?? maxClasses, order);
  const classes = classNames ?? Array.from({ length: Math.max(...new Set(trained.labels)) + 1 }, (_, c) => String(c));
  const splits = { train: trained, ...(test.length > 0 && { test: await readShards(test, classes.length, order) }) };
  return {
    name: basename(folder),
    classNames: classes,
    inputShape: undefined,
    split: (name) => splitOf(splits, name, folder),
  };
}

/** The paths a pattern means, in order. */
async function shardsOf(pattern: string): Promise<readonly string[]> {
  const folder = dirname(pattern);
  const wanted = expanded(basename(pattern), pattern);
  if (wanted.every((name) => !/[*?]/.test(name))) return wanted.map((name) => join(folder, name));
  const tests = wanted.map(
    (name) =>
      new RegExp(
        `^${name
          .replace(/[.+^$()|[\]\\{}]/g, '\\$&')
          .replaceAll('*', '.*')
          .replaceAll('?', '.')}$`,
      ),
  );
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => tests.some((test) => test.test(name)))
    .sort()
    .map((name) => join(folder, name));
}

/** `a-{08..11}` → a-08, a-09, a-10, a-11. */
function expanded(name: string, where: string): readonly string[] {
  const range = /^(.*?)\{(\d+)\.\.(\d+)\}(.*)$/.exec(name);
  if (range === null) return [name];
  const [, before = '', first = '', last = '', after = ''] = range;
  const count = Number(last) - Number(first) + 1;
  if (!(count >= 1 && count <= maxShards)) {
    throw new CodaError({
      kind: 'argument',
      where,
      problem: 'not a range of archives',
      expected: `1 to ${maxShards} of them`,
      got: `{${first}..${last}}`,
    });
  }
  return Array.from({ length: count }, (_, i) => `${before}${String(Number(first) + i).padStart(first.length, '0')}`).flatMap((begin) =>
    expanded(after, where).map((end) => begin + end),
  );
}

async function readShards(paths: readonly string[], classes: number, order: ShardOrderOptions): Promise<FileSplit> {
  const files: ImageFile[] = [];
  const labels: number[] = [];
  const lengths: number[] = [];
  for (let first = 0; first < paths.length; first += concurrency) {
    for (const shard of await Promise.all(paths.slice(first, first + concurrency).map((path) => readShard(path, classes)))) {
      for (const { file, label } of shard) {
        files.push(file);
        labels.push(label);
      }
      lengths.push(shard.length);
    }
  }
  if (files.every(({ refused }) => refused !== undefined)) {
    const [first] = files;
    throw new CodaError({
      kind: 'malformed',
      where: paths[0] ?? 'shards',
      problem: 'there is no image with a label in these archives',
      got: first === undefined ? undefined : `${first.name}: ${first.refused}`,
    });
  }
  return fileSplit(files, Uint16Array.from(labels), (random: Random) => shardOrder(lengths, order, random));
}

interface Sample {
  readonly file: ImageFile;
  readonly label: number;
}

async function readShard(path: string, classes: number): Promise<readonly Sample[]> {
  const { members, refused, touched } = await indexTar(path);
  const shard = basename(path);
  const file = await open(path, 'r');
  try {
    const samples: Sample[] = [];
    const add = (name: string, label: number, { offset, bytes }: { offset: number; bytes: number }, reason?: string): void => {
      samples.push({
        file: { name: `${shard}/${name}`, path, offset, bytes, touched, ...(reason !== undefined && { refused: reason }) },
        label,
      });
    };
    const nothing = { offset: 0, bytes: 0 };
    for (const { key, rare, image = rare, label } of groups(members)) {
      if (image === undefined) continue;
      const value = label === undefined ? undefined : await labelIn(file, label);
      const number = classNumber(value);
      if (label === undefined) add(key, 0, nothing, 'there is no label beside this image');
      else if (value === undefined) add(key, 0, nothing, `no label can be read from ${label.name}`);
      else if (number === undefined || number >= classes)
        add(key, 0, nothing, `the label ${JSON.stringify(number ?? value).slice(0, 80)} is none of the ${classes} classes`);
      else add(image.name, number, image);
    }
    for (const { name, reason } of refused) add(name, 0, nothing, reason);
    return samples;
  } finally {
    await file.close();
  }
}

interface Group {
  readonly key: string;
  image?: TarMember;
  rare?: TarMember;
  label?: TarMember;
}

/** Members that follow each other under one key. */
function groups(members: readonly TarMember[]): readonly Group[] {
  const all: Group[] = [];
  for (const member of members) {
    const { name } = member;
    const dot = name.indexOf('.', name.lastIndexOf('/') + 1);
    if (dot === -1) continue;
    const [key, ending] = [name.slice(0, dot), name.slice(dot).toLowerCase()];
    let group = all.at(-1);
    if (group?.key !== key) all.push((group = { key }));
    if (imageEndings.has(ending)) group.image ??= member;
    else if (rareEndings.has(ending)) group.rare ??= member;
    else if (ending === '.cls' || (ending === '.json' && group.label === undefined)) group.label = member;
  }
  return all;
}

/** As it stands there, of JSON any value; undefined where there is none. */
async function labelIn(file: Awaited<ReturnType<typeof open>>, { name, offset, bytes }: TarMember): Promise<unknown> {
  if (bytes > maxLabelBytes) return undefined;
  const buffer = Buffer.alloc(bytes);
  await file.read(buffer, 0, bytes, offset);
  const text = buffer.toString('utf8').trim();
  if (name.toLowerCase().endsWith('.cls')) return text;
  try {
    return (JSON.parse(text) as { label?: unknown } | null)?.label;
  } catch {
    return undefined;
  }
}

function classNumber(label: unknown): number | undefined {
  const value = typeof label === 'string' && /^\d+$/.test(label.trim()) ? Number(label) : label;
  return Number.isInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}
