/**
 * The output of a frozen stem for every image of a split, computed once and kept: training a head then costs the head only. Each augmented
 * copy is kept apart: a mirrored image has features of its own. In float32 they are exact, as computed.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { CodaError, oneProcess, type Engine, type JsonObject, type NamedArrays, type ProcessGroup } from '@coda-nets/core';
import { engineOfRanks, isAnyAborted, memoryOfRanks, together } from './agree-in-ranks.ts';
import { computeChunk, type ChunkOptions, type ComputedChunk } from './compute-chunk.ts';
import { batchMaker, type BatchMaker } from './data/batch-maker.ts';
import type { BadImage } from './data/make-batch.ts';
import { featureCache, type FeatureCache, type FeatureChunk, type FeatureRows } from './feature-cache.ts';
import { featuresOf, type FeatureCopy, type Features } from './features.ts';
import { fileStore, memoryStore, type MemoryStore } from './feature-store.ts';
import { fromEachRank, fromFirstRank } from './from-first-rank.ts';

export interface ComputeFeaturesOptions extends ChunkOptions {
  readonly engine: Engine;
  /** All weights of the network; the stem's are those of role `frozen`. */
  readonly weights: NamedArrays;
  readonly copies?: readonly FeatureCopy[];
  /** `float16`: half the memory, each feature rounded by up to 2⁻¹¹ of itself. Default `float32`. */
  readonly precision?: 'float32' | 'float16';
  /** Where images are decoded; default on this thread. */
  readonly maker?: BatchMaker;
  /** Features are kept there too, under a key made of everything they depend on; without it in memory only. */
  readonly cacheFolder?: string;
  /** Beyond so many bytes they are read from the cache batch by batch, and not held in memory; default a quarter of what this machine has for each process on it. */
  readonly maxMemory?: number;
  /**
   * The processes that compute together, by default this one alone: each calls with the same options, computes a share, and has all in the end, in the same bits.
   * What is read from the cache batch by batch needs a folder that all see; who does not see it computes all.
   */
  readonly group?: ProcessGroup;
  /** Of many processes, by what this one has done. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Of one file of the disk cache, which is what one process computes at a time: 33 MB of 16 × 16 × 32 features … */
const mostImagesPerChunk = 1000;
/** … and no more than this of larger ones. */
const mostChunkBytes = 2 ** 28;

/**
 * Needs 4·H′·W′·C bytes of memory for each image and copy (3.3 GB for 50,000 images, two copies and 16 × 16 × 32 features), or with a cache folder those
 * of one of its files.
 *
 * @throws CodaError `argument` for a network without a frozen stem, `unavailable` where the memory is not there.
 */
export async function computeFeatures(options: ComputeFeaturesOptions & { readonly signal?: never }): Promise<Features>;
export async function computeFeatures(options: ComputeFeaturesOptions): Promise<Features | undefined>;
export async function computeFeatures(options: ComputeFeaturesOptions): Promise<Features | undefined> {
  const { engine, network, weights, split, copies = ['none'], precision = 'float32', maker = batchMaker(0) } = options;
  const { cacheFolder, onProgress, signal, group = oneProcess } = options;
  const { frozenStem } = network;
  if (frozenStem === undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'computeFeatures: network',
      problem: 'this network has no frozen stem whose features could be kept',
      got: `kind ${JSON.stringify(network.config.kind)}`,
    });
  }
  const shape = frozenStem.featureShape;
  const size = shape[0] * shape[1] * shape[2];
  const total = split.length * copies.length;
  const stemWeights = Object.fromEntries(Object.entries(weights).filter(([name]) => network.weights[name]?.role === 'frozen'));
  const cache =
    cacheFolder === undefined
      ? undefined
      : featureCache({
          folder: cacheFolder,
          network,
          stemWeights,
          split,
          engine: await engineOfRanks(group, engine),
          size,
          precision,
          preprocessing: preprocessingOf(options),
        });
  const { maxMemory = await memoryOfRanks(group) } = options;
  const onDisk = cache !== undefined && total * size * (precision === 'float16' ? 2 : 4) > maxMemory;
  const imagesPerChunk = Math.max(1, Math.min(mostImagesPerChunk, Math.floor(mostChunkBytes / (4 * size))));
  const chunks = copies.flatMap((copy) =>
    Array.from({ length: Math.ceil(split.length / imagesPerChunk) }, (_, i) => {
      const first = i * imagesPerChunk;
      return { copy, first, count: Math.min(imagesPerChunk, split.length - first) };
    }),
  );
  const inCache = new Set(await fromFirstRank(group, await numbersInCache(cache, chunks), 'features in the cache'));
  const missing = chunks.filter((_, i) => !inCache.has(i));

  const compiled = await engine.compile((tensors) => ({ features: frozenStem.embed(tensors, tensors['images'] as tf.Tensor4D) }), {
    inputs: { images: { shape: ['batch', ...network.inputShape], dtype: 'float32' } },
    constants: stemWeights,
  });
  const memory = new Map<string, MemoryStore>(onDisk ? [] : copies.map((copy) => [copy, memoryStore(split.length, size, precision)]));
  const opened = new Map<string, FeatureRows[]>(copies.map((copy) => [copy, []]));
  const badOfRank: BadImage[] = [];
  const close = async (): Promise<void> => {
    for (const rows of opened.values()) for (const file of rows) await file.close();
  };
  const computeInto = async (chunk: FeatureChunk, advance: (images: number) => void): Promise<void> => {
    const computed = await computeChunk(options, compiled, maker, chunk, size, advance);
    if (computed === undefined) return;
    await cache?.write(chunk, computed.features, computed.bad);
    keep(chunk, computed);
  };
  const keep = ({ copy, first }: FeatureChunk, { features, bad }: ComputedChunk): void => {
    memory.get(copy)?.put(first, features);
    for (const image of bad) badOfRank.push({ ...image, place: first + image.place });
  };
  /** Of those that rank 0 has found; computed where somebody has emptied the folder since. */
  const read = async (chunk: FeatureChunk): Promise<void> => {
    const found = await cache?.open(chunk);
    if (found === undefined) return computeInto(chunk, () => undefined);
    const features = new Float32Array(onDisk ? 0 : chunk.count * size);
    try {
      await found.read(0, features);
    } finally {
      await found.close();
    }
    keep(chunk, { features, bad: found.bad });
  };
  /** Once all ranks have written theirs. Where the folder of the others is not seen here, they are computed again. */
  const openAll = async (): Promise<void> => {
    for (const chunk of chunks) {
      let found = await cache?.open(chunk);
      if (found === undefined) await computeInto(chunk, () => undefined);
      if (signal?.aborted === true) return found?.close();
      found ??= await cache?.open(chunk);
      if (found === undefined) throw unseen(cacheFolder as string);
      opened.get(chunk.copy)?.push(found);
    }
  };
  const share = async ({ copy, first, count }: FeatureChunk, owner: number): Promise<void> => {
    const bytes = memory.get(copy)?.bytes(first, count);
    if (bytes !== undefined) await group.broadcast(bytes, `features ${copy} from image ${first}`, owner);
  };
  let whole = false;
  try {
    let done = 0;
    const tell = (images: number): void => onProgress?.(images, total);
    for (const chunk of chunks.filter((_, i) => inCache.has(i))) {
      await together(group, async () => group.rank === 0 && read(chunk));
      await share(chunk, 0);
      tell((done += chunk.count));
    }
    // in rounds of a chunk for each rank: a slow one is waited for before it is far behind
    for (let begin = 0; begin < missing.length; begin += group.size) {
      const round = missing.slice(begin, begin + group.size);
      const images = round.reduce((sum, { count }) => sum + count, 0);
      const own = round[group.rank];
      let computed = 0;
      // the others are as far as this one, or about
      const advance = (more: number): void => tell(done + Math.round(((computed += more) * images) / (own?.count ?? 1)));
      await together(group, async () => own && computeInto(own, advance));
      if (await isAnyAborted(group, signal)) return undefined;
      for (const [owner, chunk] of round.entries()) await share(chunk, owner);
      done += images;
    }
    if (await isAnyAborted(group, signal)) return undefined;
    if (onDisk) {
      await together(group, openAll);
      if (await isAnyAborted(group, signal)) return undefined;
    }
    whole = true;
  } finally {
    await compiled.dispose();
    if (!whole) await close();
  }
  const stores = new Map(copies.map((copy) => [copy, memory.get(copy) ?? fileStore(opened.get(copy) ?? [], imagesPerChunk)]));
  const badOfAll = (await fromEachRank(group, badOfRank, 'images that cannot be read')).flat().toSorted((a, b) => a.place - b.place);
  return featuresOf({ stores, shape, length: split.length, copies, bad: badOfAll, close });
}

function unseen(folder: string): CodaError {
  return new CodaError({
    kind: 'unreadable',
    where: `computeFeatures: cacheFolder ${folder}`,
    problem: 'features that were just written there cannot be read',
    hint: 'Take a folder on a disk that this machine sees, and that nobody else empties.',
  });
}

/** All that a feature depends on beside weights and images; what is not there is the same as in every run. */
function preprocessingOf({ augmentation, seed, resize, copies = [], network }: ComputeFeaturesOptions): JsonObject {
  const drawn = copies.some((copy) => copy.startsWith('copy-'));
  const how = { size: network.inputShape, resize, ...(drawn && { augmentation, seed }) };
  return JSON.parse(JSON.stringify(how)) as JsonObject;
}

async function numbersInCache(cache: FeatureCache | undefined, chunks: readonly FeatureChunk[]): Promise<readonly number[]> {
  const numbers: number[] = [];
  for (const [i, chunk] of chunks.entries()) {
    const found = await cache?.open(chunk);
    if (found !== undefined) numbers.push(i);
    await found?.close();
  }
  return numbers;
}
