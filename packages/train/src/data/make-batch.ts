/**
 * Makes one batch: reads, decodes, augments, mixes. What it is made of is plain data, what it makes depends on that alone: so it may run on any thread.
 * An image that cannot be had is told of, and its place taken by the next one of the batch that can, augmented as that place would have been.
 */
import { CodaError, ndArray, Random, type RandomState } from '@coda-nets/core';
import { mixImages } from './augment/mix-images.ts';
import { paint } from './augment/shape-operations.ts';
import { mirror, type Pixels } from './augment/pixels.ts';
import { randAugment, trivialAugment } from './augment/policies.ts';
import { erasedBox } from './augment/random-crop.ts';
import { assembleBatch, toUnit } from './assemble-batch.ts';
import { mixes, type Augmentation, type AugmentationRecipe, type EraseRecipe, type SimpleAugmentation } from './augmentation.ts';
import { cropOfFile, cropOfPixels, type CropTask } from './crop-image.ts';
import { decodeImage } from './decode-image.ts';
import { imageSplit } from './image-dataset.ts';
import { readImageFile, type ImageFile } from './image-file.ts';

export interface BatchTask extends CropTask {
  readonly source: BatchImages;
  /** [n] */
  readonly labels: Int32Array;
  readonly augmentation: Augmentation;
  /** Of the batch; needed by every augmentation but `none`. */
  readonly random?: RandomState | undefined;
  /** The place of the first image in the batch that `random` is of, where this is a part of it; default 0. */
  readonly place?: number | undefined;
  /** A stream for each image in the place of those split from `random`: what an image becomes is then the same in any batch. */
  readonly streams?: readonly RandomState[] | undefined;
}

export type BatchImages =
  | { readonly kind: 'files'; readonly files: readonly ImageFile[] }
  /** [n, H, W, C] bytes */
  | { readonly kind: 'pixels'; readonly shape: readonly [number, number, number]; readonly data: Uint8Array };

export interface MadeBatch {
  /** [n, H, W, C] in [0, 1] */
  readonly images: Float32Array;
  readonly channels: number;
  /** [n], of the images that are there. */
  readonly labels: Int32Array;
  /** [n], with mixup or cutmix: the other label of each image, and the weight of its own. */
  readonly mixed?: { readonly labels: Int32Array; readonly weights: Float32Array };
  readonly bad: readonly BadImage[];
}

export interface BadImage {
  /** Where in the batch. */
  readonly place: number;
  readonly file: string;
  readonly reason: string;
}

/** A batch of which no image can be had has zeros, and every image in `bad`. */
export async function makeBatch(task: BatchTask): Promise<MadeBatch> {
  const made = task.augmentation.kind === 'recipe' ? await byRecipe(task, task.augmentation) : await simple(task, task.augmentation);
  const { augmentation } = task;
  if (!mixes(augmentation)) return made;
  const [height, width] = task.size;
  const n = made.labels.length;
  const { partners, weight } = mixImages(
    made.images,
    [n, height, width, made.channels],
    { mixup: augmentation.mixup ?? 0, cutmix: augmentation.cutmix ?? 0 },
    randomOf(task).split('mix'),
  );
  const labels = Int32Array.from(partners, (partner) => made.labels[partner] as number);
  return { ...made, mixed: { labels, weights: new Float32Array(n).fill(weight) } };
}

/** The three that draw from the batch's one stream, on bytes. */
async function simple(task: BatchTask, augmentation: SimpleAugmentation): Promise<MadeBatch> {
  const { source, size, labels, resize } = task;
  const n = labels.length;
  let shape: readonly [number, number, number] = [size[0], size[1], 3];
  let data: Uint8Array;
  let filled: { places: Int32Array; bad: readonly BadImage[] } = { places: Int32Array.from(labels.keys()), bad: [] };
  if (source.kind === 'pixels') ({ shape, data } = source);
  else {
    data = new Uint8Array(n * size[0] * size[1] * 3);
    filled = await fill(n, source.files, async (place, file) => {
      const { values } = await decodeImage(readImageFile(file), file.name, size, resize ?? 'crop');
      data.set(values, place * values.length);
    });
  }
  const own = Int32Array.from(filled.places, (place) => labels[place] as number);
  const random = augmentation.kind === 'none' ? undefined : randomOf(task);
  const { images } = assembleBatch(
    imageSplit(shape, data, new Uint8Array(n)),
    filled.places.map((_, i) => i),
    augmentation,
    random,
    task.place,
  );
  return { images: images.data, channels: shape[2], labels: own, bad: filled.bad };
}

async function byRecipe(task: BatchTask, recipe: AugmentationRecipe): Promise<MadeBatch> {
  const { source, size, labels } = task;
  const n = labels.length;
  const imageLength = size[0] * size[1] * 3;
  const images = new Float32Array(n * imageLength);
  const batchRandom = task.streams === undefined ? randomOf(task) : undefined;
  const one = async (place: number, cropped: (random: Random) => Promise<Pixels>): Promise<void> => {
    const state = task.streams?.[place];
    const random = state === undefined ? (batchRandom as Random).split((task.place ?? 0) + place) : Random.fromState(state);
    // streams of their own: what one step draws changes nothing in the others
    const { data } = augmented(await cropped(random.split('crop')), recipe, random);
    toUnit(data, images, place * imageLength);
  };
  if (source.kind === 'pixels') {
    const [height, width, channels] = source.shape;
    checkRecipeShape(channels);
    const length = height * width * 3;
    for (let i = 0; i < n; i++) {
      const pixels = { height, width, data: source.data.slice(i * length, (i + 1) * length) };
      await one(i, (random) => Promise.resolve(cropOfPixels(pixels, task, recipe, random)));
    }
    return { images, channels: 3, labels, bad: [] };
  }
  const { places, bad } = await fill(n, source.files, (place, file) => one(place, (random) => cropOfFile(file, task, recipe, random)));
  return { images, channels: 3, labels: Int32Array.from(places, (place) => labels[place] as number), bad };
}

/** Images on their way at a time: so many that the decoder's threads have one to take up while this thread augments. With two they wait for each other. */
const atOnce = 8;

/** Puts file i into place i, or the next one that works; `places[i]` is which it became. */
async function fill(
  n: number,
  files: readonly ImageFile[],
  put: (place: number, file: ImageFile) => Promise<void>,
): Promise<{ places: Int32Array; bad: readonly BadImage[] }> {
  const places = Int32Array.from({ length: n }, (_, i) => i);
  const bad: BadImage[] = [];
  const attempt = async (place: number): Promise<void> => {
    try {
      await put(place, files[place] as ImageFile);
    } catch (error) {
      if (!CodaError.isInstance(error) || error.kind === 'unavailable') throw error;
      bad.push({ place, file: error.where, reason: error.got === undefined ? error.problem : `${error.problem}: ${error.got}` });
    }
  };
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < n) await attempt(next++);
    }),
  );
  bad.sort((a, b) => a.place - b.place);
  const isBad = new Set(bad.map(({ place }) => place));
  if (isBad.size === n) return { places, bad };
  for (const place of isBad) {
    let from = place;
    do from = (from + 1) % n;
    while (isBad.has(from));
    await put(place, files[from] as ImageFile);
    places[place] = from;
  }
  return { places, bad };
}

function augmented(image: Pixels, { flip, policy, erase }: AugmentationRecipe, random: Random): Pixels {
  let result = image;
  if (flip === true && random.split('flip').uint32() >= 0x8000_0000) mirror(result);
  if (policy?.kind === 'rand-augment') result = randAugment(result, policy.operations, policy.magnitude, random.split('policy'));
  if (policy?.kind === 'trivial-augment') result = trivialAugment(result, random.split('policy'));
  if (erase !== undefined) eraseBox(result, erase, random.split('erase'));
  return result;
}

function eraseBox(image: Pixels, { probability, area, ratio, fill: filling }: EraseRecipe, random: Random): void {
  if (random.uniform() >= probability) return;
  const box = erasedBox(image.height, image.width, area, ratio, random);
  if (box !== undefined) paint(image, box, filling === 'black' ? [0, 0, 0] : () => random.below(256));
}

function randomOf({ random, augmentation }: BatchTask): Random {
  if (random !== undefined) return Random.fromState(random);
  throw new CodaError({
    kind: 'argument',
    where: 'makeBatch: random',
    problem: `the augmentation ${augmentation.kind} needs random numbers`,
    expected: 'the state of a Random',
    got: 'undefined',
  });
}

function checkRecipeShape(channels: number): void {
  if (channels === 3) return;
  throw new CodaError({
    kind: 'unsupported',
    where: 'makeBatch: source',
    problem: 'a recipe augments images of three channels',
    expected: '3',
    got: String(channels),
  });
}

/** [n, H, W, C] of a made batch. */
export function imagesOfBatch({ images, labels, channels }: MadeBatch, [height, width]: readonly [number, number]) {
  return ndArray('float32', [labels.length, height, width, channels], images);
}
