/**
 * A folder with a folder for each class, in which its images lie, or one folder further down (as TinyImageNet's `images`). Listed in the order of the
 * names' code units, so that class numbers are torchvision's for the same tree. Decodes nothing.
 */
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { CodaError } from '@coda-nets/core';
import type { ImageFile } from './image-file.ts';

/** Of files that lie beside images: lists, boxes, descriptions, arrays, and what Windows leaves. Whatever else is no image shows when it is read. */
const otherEndings: ReadonlySet<string> = new Set(
  '.csv .db .htm .html .ini .json .jsonl .mat .md .npy .npz .tsv .txt .xml .yaml .yml'.split(' '),
);
/** Files looked at at a time. */
const concurrency = 64;

/** Names of the folders in `folder`, in order, without hidden ones and the one that macOS packs into archives. */
export async function folderNames(folder: string): Promise<readonly string[]> {
  const entries = await entriesOf(folder);
  return entries.filter(({ isFolder }) => isFolder).map(({ name }) => name);
}

/** The images of `<folder>/<name>` for each name, with its place in `names` as label: all files but hidden ones and those of `otherEndings`. */
export async function listClassFolders(
  root: string,
  folder: string,
  names: readonly string[],
): Promise<{ files: readonly ImageFile[]; labels: Uint16Array }> {
  const files: ImageFile[] = [];
  const labels: number[] = [];
  const above = ancestors(await realpath(join(root, folder)));
  for (const [label, name] of names.entries()) {
    const found = await listImages(root, join(folder, name), 1, new Set(above));
    files.push(...found);
    for (let i = 0; i < found.length; i++) labels.push(label);
  }
  return { files, labels: Uint16Array.from(labels) };
}

/** The images in `<root>/<path>`, and in its folders down to `depth` more. Links are followed, who made the tree made them, but to no folder of `met`. */
async function listImages(root: string, path: string, depth: number, met: Set<string>): Promise<readonly ImageFile[]> {
  const folder = join(root, path);
  // one that cannot be reached is told of where it is listed
  const real = await realpath(folder).catch(() => folder);
  if (met.has(real)) return [];
  met.add(real);
  const entries = await entriesOf(folder);
  const images = entries.filter(({ name, isFolder }) => !isFolder && !otherEndings.has(extname(name).toLowerCase()));
  const files: ImageFile[] = [];
  for (let first = 0; first < images.length; first += concurrency) {
    const some = images.slice(first, first + concurrency);
    files.push(...(await Promise.all(some.map(({ name }) => imageFile(root, path === '' ? name : `${path}/${name}`)))));
  }
  if (depth > 0) {
    for (const { name, isFolder } of entries) if (isFolder) files.push(...(await listImages(root, `${path}/${name}`, depth - 1, met)));
  }
  return files;
}

/** The folder and those it lies in. */
function ancestors(folder: string): readonly string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...ancestors(above)];
}

/** A file that cannot be looked at is an image that cannot be read: told of, and counted, with the others. `missing`: what is said of one that is not there. */
export async function imageFile(root: string, name: string, missing = 'not there any more'): Promise<ImageFile> {
  const path = join(root, name);
  try {
    const { size, mtimeMs, ctimeMs } = await stat(path);
    return { name, path, offset: 0, bytes: size, touched: `${mtimeMs} ${ctimeMs}` };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isLink = await lstat(path).then(
      () => true,
      () => false,
    );
    const absent = isLink ? 'a link that leads nowhere' : missing;
    const refused = code === 'ENOENT' ? absent : `cannot be looked at (${code ?? String(error)})`;
    return { name, path, offset: 0, bytes: 0, touched: '', refused };
  }
}

async function entriesOf(folder: string): Promise<readonly { readonly name: string; readonly isFolder: boolean }[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CodaError({
      kind: 'unreadable',
      where: folder,
      problem: code === 'ENOENT' ? 'no such folder' : `cannot be listed (${code ?? String(cause)})`,
      cause,
    });
  });
  const seen = await Promise.all(
    entries
      .filter(({ name }) => !name.startsWith('.') && name !== '__MACOSX')
      .map(async (entry) => ({
        name: entry.name,
        isFolder: entry.isSymbolicLink() ? await leadsToFolder(folder, entry.name) : entry.isDirectory(),
      })),
  );
  return seen.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function leadsToFolder(folder: string, name: string): Promise<boolean> {
  return stat(join(folder, name)).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
