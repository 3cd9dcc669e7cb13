/**
 * Reads what a person wants predicted or explained: image files, folders of them, `.npy` batches. Not data sets, which
 * have labels.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { CodaError, decodeNpy, ndArray, sizeOf, type NdArray } from '@coda-nets/core';
import { decodeImage, type DecodedImage, type Interpolation, type ResizeMode } from './decode-image.ts';

export interface LoadImagesOptions {
  /**
   * H = W, or [H, W], of what comes back; where not given, images keep their size, which must then be the same for
   * all.
   */
  readonly size?: number | readonly [height: number, width: number] | undefined;
  /** How an image gets `size`; `crop` where not given. A `.npy` batch goes in as it is. */
  readonly resize?: ResizeMode | undefined;
  /** `bilinear` where not given. */
  readonly interpolation?: Interpolation | undefined;
}

export interface LoadedImages {
  /** File names without their ending; of a `.npy` batch with `-0`, `-1` … behind; each once. */
  readonly names: readonly string[];
  /** What was read, with folders opened; a `.npy` batch is one file. */
  readonly files: readonly string[];
  /** [N, H, W, 3] in [0, 1]. */
  readonly images: NdArray<'float32'>;
}

const endings = ['.png', '.jpg', '.jpeg', '.webp'];
/** More is a data set, and a loop over `loadImages` serves better than one array. */
const maxImages = 10_000;
/** A photograph of 80 megapixels without compression; the file is read into memory whole. */
const maxImageBytes = 256 * 2 ** 20;
/** What Node reads in one call. */
const maxNpyBytes = 2 ** 31 - 1;
/** 1.5 GB of float32: 2,600 images of 224 × 224 or 10,000 of 96 × 96. */
const maxValues = 400_000_000;
/** Images decoded at a time. */
const concurrency = 4;

/**
 * Loads `paths` in the order given; the files of a folder in the order of their names, without its subfolders.
 *
 * @throws CodaError that names the file: `unreadable` where it cannot be read, `malformed` where it is no whole image
 * or no batch [N, H, W, 3] of float32 in [0, 1] or uint8, `mismatch` where sizes differ, `unsupported` beyond a limit.
 */
export async function loadImages(
  paths: readonly string[],
  { size, resize = 'crop', interpolation }: LoadImagesOptions = {},
): Promise<LoadedImages> {
  const target = typeof size === 'number' ? ([size, size] as const) : size;
  if (target !== undefined && !target.every((d) => Number.isInteger(d) && d > 0 && d <= 16_384)) {
    throw new CodaError({
      kind: 'argument',
      where: 'loadImages: size',
      problem: 'not an image size',
      expected: 'integers from 1 to 16384',
      got: target.join(' × '),
    });
  }
  if (typeof resize === 'number' && !(Number.isInteger(resize) && resize <= 16_384 && resize >= Math.max(...(target ?? [1])))) {
    throw new CodaError({
      kind: 'argument',
      where: 'loadImages: resize',
      problem: 'no shorter side out of which the size can be cut',
      expected: `an integer from ${Math.max(...(target ?? [1]))} to 16384`,
      got: `${resize}`,
    });
  }
  const files = (await Promise.all(paths.map(listFiles))).flat();
  if (files.length === 0) {
    throw new CodaError({ kind: 'argument', where: 'loadImages', problem: 'no input', expected: 'at least one file or folder' });
  }
  const collector = new Collector();
  for (let first = 0; first < files.length; first += concurrency) {
    const some = files.slice(first, first + concurrency);
    // Settled, so that the error is always the one of the first bad file.
    const parts = await Promise.allSettled(
      some.map(async (file) => (isNpy(file) ? readBatch(file) : readImage(file, target, resize, interpolation))),
    );
    for (const [i, part] of parts.entries()) {
      if (part.status === 'rejected') throw part.reason;
      collector.add(some[i] as string, part.value);
    }
  }
  return { files, ...collector.collected() };
}

interface Part {
  readonly height: number;
  readonly width: number;
  /** [n, H, W, 3], in [0, 1] or bytes. */
  readonly values: Float32Array | Uint8Array;
  /** Undefined: one image; else n of a batch. */
  readonly count?: number;
}

/** Gathers images of one size under names that occur once. */
class Collector {
  readonly #parts: Part[] = [];
  readonly #names = new Set<string>();
  #first: { readonly path: string; readonly height: number; readonly width: number } | undefined;
  #values = 0;

  add(path: string, part: Part): void {
    const { height, width, count, values } = part;
    this.#first ??= { path, height, width };
    if (height !== this.#first.height || width !== this.#first.width) {
      throw new CodaError({
        kind: 'mismatch',
        where: path,
        problem: `another size than ${this.#first.path}, and all images of a call go into one array`,
        expected: `${this.#first.height} × ${this.#first.width}`,
        got: `${height} × ${width}`,
      });
    }
    this.#values += values.length;
    if (this.#values > maxValues || this.#names.size + (count ?? 1) > maxImages) {
      throw new CodaError({
        kind: 'unsupported',
        where: path,
        problem: 'too many images for one call',
        expected: `at most ${Math.min(maxImages, Math.floor(maxValues / (height * width * 3)))} of ${height} × ${width}`,
        hint: 'Give fewer at a time.',
      });
    }
    this.#parts.push(part);
    const stem = basename(path, extname(path));
    for (let i = 0; i < (count ?? 1); i++) {
      const name = count === undefined ? stem : `${stem}-${i}`;
      let unique = name;
      for (let copy = 2; this.#names.has(unique); copy++) unique = `${name}-${copy}`;
      this.#names.add(unique);
    }
  }

  collected(): Omit<LoadedImages, 'files'> {
    const { height, width } = this.#first as { height: number; width: number };
    const data = new Float32Array(this.#values);
    let position = 0;
    for (const { values } of this.#parts) {
      if (values instanceof Float32Array) data.set(values, position);
      else for (let i = 0; i < values.length; i++) data[position + i] = (values[i] as number) / 255;
      position += values.length;
    }
    return { names: [...this.#names], images: ndArray('float32', [this.#names.size, height, width, 3], data) };
  }
}

async function listFiles(path: string): Promise<string[]> {
  const found = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  if (!found.isDirectory()) return [path];
  const names = await readdir(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  const images = names.filter((name) => !name.startsWith('.') && endings.includes(extname(name).toLowerCase())).sort();
  if (images.length === 0) {
    throw new CodaError({ kind: 'argument', where: path, problem: 'no image in this folder', expected: endings.join(', ') });
  }
  return images.map((name) => join(path, name));
}

async function readImage(
  path: string,
  target: readonly [number, number] | undefined,
  resize: ResizeMode,
  interpolation: Interpolation | undefined,
): Promise<DecodedImage> {
  return decodeImage(await readWhole(path, maxImageBytes), path, target, resize, interpolation);
}

async function readBatch(path: string): Promise<Part> {
  const array = decodeNpy(await readWhole(path, maxNpyBytes), path);
  const [count, height, width, channels] = array.shape;
  const { data } = array;
  const isBatch = array.shape.length === 4 && channels === 3 && sizeOf(array.shape) > 0;
  if (!isBatch || !(data instanceof Float32Array || array.dtype === 'uint8')) {
    throw new CodaError({
      kind: 'malformed',
      where: path,
      problem: 'not a batch of images',
      expected: '[N, H, W, 3] of float32 in [0, 1] or uint8',
      got: `[${array.shape.join(', ')}] of ${array.dtype}`,
    });
  }
  if (data instanceof Float32Array) {
    const bad = data.findIndex((x) => !(x >= 0 && x <= 1));
    if (bad >= 0) {
      throw new CodaError({
        kind: 'malformed',
        where: path,
        problem: `element ${bad} (image ${Math.floor(bad / ((height as number) * (width as number) * 3))}) is no intensity`,
        expected: 'float32 from 0 to 1',
        got: `${data[bad]}`,
        hint: 'Divide by 255, or save uint8; normalisation is part of the model.',
      });
    }
  }
  return {
    count: count as number,
    height: height as number,
    width: width as number,
    values: data as Float32Array | Uint8Array,
  };
}

async function readWhole(path: string, most: number): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size <= most) return await readFile(path);
    throw new CodaError({ kind: 'unsupported', where: path, problem: 'too large', expected: `at most ${most} bytes`, got: `${size}` });
  } catch (cause) {
    throw CodaError.isInstance(cause) ? cause : unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): CodaError {
  const { code } = cause as NodeJS.ErrnoException;
  const problem = code === 'ENOENT' ? 'no such file or folder' : `cannot be read (${code ?? String(cause)})`;
  return new CodaError({ kind: 'unreadable', where: path, problem, cause });
}

function isNpy(path: string): boolean {
  return extname(path).toLowerCase() === '.npy';
}
