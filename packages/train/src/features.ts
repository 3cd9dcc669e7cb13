/** Kept features as training takes them: of any images, in any of the copies, with another image's in the place of a bad one. */
import { CodaError, ndArray, type NdArray } from '@coda-nets/core';
import type { BadImage } from './data/make-batch.ts';
import type { FeatureStore } from './feature-store.ts';

/** `flip`: mirrored left to right; `copy-0` …: augmented, each by draws of its own. */
export type FeatureCopy = 'none' | 'flip' | `copy-${number}`;

export interface Features {
  /** [H′, W′, C] */
  readonly shape: readonly [number, number, number];
  readonly length: number;
  readonly copies: readonly FeatureCopy[];
  /** Images that could not be read; a batch has the next one's features in their place. Places are those in the split. */
  readonly bad: readonly BadImage[];
  /** The image whose features stand for image `index`: another one where it is bad. */
  standIn(index: number): number;
  /** [n, H′, W′, C] of the images `indices`; `copy`: one for all, or one for each. */
  batch(indices: ArrayLike<number>, copy: FeatureCopy | readonly FeatureCopy[]): Promise<NdArray<'float32'>>;
  /** Closes the files they are read from; those in memory go by themselves. */
  close(): Promise<void>;
}

export interface FeatureParts extends Pick<Features, 'shape' | 'length' | 'copies' | 'close'> {
  readonly stores: ReadonlyMap<FeatureCopy, FeatureStore>;
  /** One of an image may be of any of its copies. */
  readonly bad: readonly BadImage[];
}

/** Throws a CodaError of kind `malformed`, and closes what is open, where every image is bad. */
export async function featuresOf({ stores, shape, length, copies, bad: badCopies, close }: FeatureParts): Promise<Features> {
  const size = shape[0] * shape[1] * shape[2];
  const bad = new Map(badCopies.map((image) => [image.place, image]));
  if (bad.size === length) {
    await close();
    const [first] = bad.values();
    throw new CodaError({
      kind: 'malformed',
      where: first?.file ?? '',
      problem: `no image of the split could be read; of this one: ${first?.reason}`,
    });
  }
  const standIn = (index: number): number => {
    let at = index;
    while (bad.has(at)) at = (at + 1) % length;
    return at;
  };
  return {
    shape,
    length,
    copies,
    bad: [...bad.values()],
    standIn,
    async batch(indices, copy) {
      const data = new Float32Array(indices.length * size);
      await Promise.all(
        Array.from(indices, (index, i) => {
          const wanted = typeof copy === 'string' ? copy : (copy[i] as FeatureCopy);
          const store = stores.get(wanted);
          if (store === undefined) throw noCopy(wanted, copies);
          return store.get(standIn(index), data.subarray(i * size, (i + 1) * size));
        }),
      );
      return ndArray('float32', [indices.length, ...shape], data);
    },
    close,
  };
}

function noCopy(wanted: FeatureCopy, copies: readonly FeatureCopy[]): CodaError {
  return new CodaError({
    kind: 'argument',
    where: 'Features.batch: copy',
    problem: 'this copy was not computed',
    expected: copies.join(', '),
    got: wanted,
  });
}
