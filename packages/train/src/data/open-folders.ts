/**
 * Data sets of image files in folders: `train` and `val` (or `test`, `validation`) with a folder for each class, as ImageNet and TinyImageNet-200 are
 * laid out, their validation images in one folder with a list included; or the folders of the classes alone, which is then the training split.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { CodaError } from '@coda-nets/core';
import { folderNames, imageFile, listClassFolders } from './class-folders.ts';
import { fileSplit, type FileSplit, type ImageDataset } from './image-dataset.ts';
import type { ImageFile } from './image-file.ts';

/** Where the images that are not trained on lie, the first there is. */
const testFolders = ['val', 'validation', 'test'];
/** Names a line: 22,000 synsets have 1.2 MB, 50,000 validation images 2 MB. */
const maxListBytes = 64 * 2 ** 20;
/** Labels are 16 bits. */
const maxClasses = 65_536;

/** `lists`: the folder of the lists of names and labels. Throws a CodaError of kind `malformed` where there are no folders of classes, `unreadable` where one cannot be listed. */
export async function openFolders(root: string, lists = root): Promise<ImageDataset> {
  const names = await folderNames(root);
  const train = (await trainingFolder(root, names)) ?? '';
  const test = train === '' ? undefined : await firstWithEntries(root, lists, names);
  const classIds = await folderNames(join(root, train));
  if (classIds.length === 0 || classIds.length > maxClasses) {
    throw new CodaError({
      kind: 'malformed',
      where: join(root, train),
      problem: 'not a data set: there is no folder for each class',
      expected: `1 to ${maxClasses} folders`,
      got: `${classIds.length}`,
    });
  }
  const trained = await listClassFolders(root, train, classIds);
  const splits: { train: FileSplit; test?: FileSplit } = { train: nonEmpty(fileSplit(trained.files, trained.labels), join(root, train)) };
  expectEachClass(classIds, trained.labels, join(root, train));
  if (test !== undefined) splits.test = nonEmpty(await testSplit(root, lists, test, classIds), join(root, test));
  const readable = await readableNames(lists);
  return {
    name: basename(resolve(root)),
    classIds,
    classNames: classIds.map((id) => readable.get(id) ?? id),
    inputShape: undefined,
    split: (name) => splitOf(splits, name, root),
  };
}

/** Whether there is a folder of the training split with folders of classes in it. */
export async function hasTrainingFolders(root: string): Promise<boolean> {
  const train = await trainingFolder(root, await folderNames(root));
  return train !== undefined && (await folderNames(join(root, train))).length > 0;
}

/** Among the folders `names`; one called Train with images in it is a class beside others. */
async function trainingFolder(root: string, names: readonly string[]): Promise<string | undefined> {
  const train = folderCalled(names, 'train');
  if (train === undefined || train === 'train') return train;
  const isSplit = names.every((name) => ['train', ...testFolders].includes(name.toLowerCase()));
  return isSplit || (await folderNames(join(root, train))).length > 0 ? train : undefined;
}

/** In any case; as it is written where there are several. */
function folderCalled(names: readonly string[], wanted: string): string | undefined {
  return names.includes(wanted) ? wanted : names.find((name) => name.toLowerCase() === wanted);
}

/** As torchvision: such a folder would take a number that no image has, and shift the others. */
function expectEachClass(classIds: readonly string[], labels: Uint16Array, where: string): void {
  const present = new Set(labels);
  const [first, ...others] = classIds.filter((_, c) => !present.has(c));
  if (first === undefined) return;
  throw new CodaError({
    kind: 'malformed',
    where: join(where, first),
    problem: `there is no image of this class${others.length === 0 ? '' : `, nor of ${others.length} more`}`,
    hint: 'Remove the folder, or put its images there.',
  });
}

/** The split of that name. Throws a CodaError that says what to do where there is none. */
export function splitOf<Split>(splits: { readonly train: Split; readonly test?: Split }, name: 'train' | 'test', where: string): Split {
  const split = splits[name];
  if (split !== undefined) return split;
  throw new CodaError({
    kind: 'argument',
    where,
    problem: 'this data set has no test split',
    expected: `a folder ${testFolders.join(', ')} beside train, or shards of those names`,
    hint: 'Training can hold images out: `"validation": { "kind": "held-out", "count": … }` in a config.',
  });
}

async function firstWithEntries(root: string, lists: string, names: readonly string[]): Promise<string | undefined> {
  for (const wanted of testFolders) {
    const name = folderCalled(names, wanted);
    if (name === undefined) continue;
    // the test folder of TinyImageNet and ImageNet has no labels
    if ((await folderNames(join(root, name))).length > 0 || (await listedLabels(root, lists, name)) !== undefined) return name;
  }
  return undefined;
}

async function testSplit(root: string, lists: string, folder: string, classIds: readonly string[]): Promise<FileSplit> {
  const list = await listedLabels(root, lists, folder);
  // the list stays where a script has sorted its images into folders of their classes; TinyImageNet's `images` may
  const own = (await folderNames(join(root, folder))).filter((name) => `${folder}/${name}` !== list?.folder);
  if (list !== undefined && !own.some((name) => classIds.includes(name))) return listedSplit(root, list, classIds);
  const { files, labels } = await listClassFolders(root, folder, own);
  const unknown = own.find((name, c) => !classIds.includes(name) && labels.includes(c));
  if (unknown !== undefined) {
    throw new CodaError({
      kind: 'malformed',
      where: join(root, folder, unknown),
      problem: 'this class is not among those that are trained',
      expected: `one of the ${classIds.length} folders of train`,
      got: unknown,
    });
  }
  return fileSplit(
    files,
    labels.map((label) => classIds.indexOf(own[label] as string)),
  );
}

interface ListedLabels {
  /** The list itself, for people. */
  readonly where: string;
  /** The folder the images are in. */
  readonly folder: string;
  readonly lines: readonly (readonly [file: string, classId: string])[];
}

/** TinyImageNet: `val/val_annotations.txt`, tab-separated; ImageNet of Kaggle: `LOC_val_solution.csv`, whose second column begins with the synset. */
async function listedLabels(root: string, lists: string, folder: string): Promise<ListedLabels | undefined> {
  const tiny = join(root, folder, 'val_annotations.txt');
  const tinyText = await textOf(tiny);
  if (tinyText !== undefined) {
    const lines = linesOf(tinyText).map((line) => line.split('\t') as [string, string]);
    return { where: tiny, folder: `${folder}/images`, lines };
  }
  const kaggle = join(lists, 'LOC_val_solution.csv');
  const kaggleText = folder.toLowerCase() === 'val' ? await textOf(kaggle) : undefined;
  if (kaggleText === undefined) return undefined;
  const rows = linesOf(kaggleText).slice(1);
  return { where: kaggle, folder, lines: rows.map((row) => [`${row.split(',')[0]}.JPEG`, (row.split(',')[1] ?? '').split(' ')[0] ?? '']) };
}

async function listedSplit(root: string, { where, folder, lines }: ListedLabels, classIds: readonly string[]): Promise<FileSplit> {
  const numbers = new Map(classIds.map((id, c) => [id, c]));
  const files: ImageFile[] = [];
  const labels: number[] = [];
  const missing = `named in ${basename(where)}, but not there`;
  for (const [i, [name, id]] of lines.entries()) {
    const label = numbers.get(id);
    // a name of a list must not lead out of the folder
    if (label === undefined || !/^[^/\\\0]{1,255}$/.test(name) || name.startsWith('.')) {
      throw new CodaError({
        kind: 'malformed',
        where: `${where}: line ${i + 1}`,
        problem: label === undefined ? 'this class is not among those that are trained' : 'not the name of an image',
        got: JSON.stringify(label === undefined ? id : name),
      });
    }
    files.push(await imageFile(root, `${folder}/${name}`, missing));
    labels.push(label);
  }
  const [first] = files;
  if (first !== undefined && files.every(({ refused }) => refused === missing)) {
    throw new CodaError({
      kind: 'malformed',
      where,
      problem: 'none of the images that are named here is there',
      expected: files.length === 1 ? first.name : `${first.name} and ${files.length - 1} more`,
    });
  }
  return fileSplit(files, Uint16Array.from(labels));
}

/** Names of the classes by id, where a file beside the folders has them: `n01440764 tench, Tinca tinca`, the id and the rest of the line. */
async function readableNames(folder: string): Promise<ReadonlyMap<string, string>> {
  for (const file of ['LOC_synset_mapping.txt', 'synset_words.txt', 'words.txt']) {
    const text = await textOf(join(folder, file));
    if (text === undefined) continue;
    return new Map(
      linesOf(text).flatMap((line) => {
        const [, id, name] = /^(\S+)\s+(\S.*)$/.exec(line) ?? [];
        return id === undefined || name === undefined ? [] : [[id, name]];
      }),
    );
  }
  return new Map();
}

export async function textOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isFile()) return undefined;
  if (found.size > maxListBytes) {
    throw new CodaError({
      kind: 'unsupported',
      where: path,
      problem: 'the list is too large',
      expected: `at most ${maxListBytes} bytes`,
      got: `${found.size}`,
    });
  }
  return readFile(path, 'utf8');
}

/** Without empty ones. */
export function linesOf(text: string): readonly string[] {
  return text.split(/\r?\n/).filter((line) => line.trim() !== '');
}

function nonEmpty(split: FileSplit, where: string): FileSplit {
  if (split.length > 0) return split;
  throw new CodaError({ kind: 'malformed', where, problem: 'there is no image in these folders', expected: 'JPEG, PNG or WebP files' });
}
