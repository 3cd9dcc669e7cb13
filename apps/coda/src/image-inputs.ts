/** The INPUT arguments of predict and explain as one batch the model takes. */
import { CodaError, type NdArray } from '@coda-nets/core';
import { loadImages } from '@coda-nets/train';
import type { OpenModel } from './open-model.ts';

export interface ImageInputs {
  readonly names: readonly string[];
  /** [N, H, W, 3], float32 in [0, 1] */
  readonly images: NdArray<'float32'>;
  /** A `.npy` batch was given: it went in as it is, and answers are batches too. */
  readonly batch: boolean;
}

export async function imageInputs(paths: readonly string[], { model, network, path }: OpenModel): Promise<ImageInputs> {
  const { names, images } = await loadImages(paths, { size: model.preprocessing.size });
  const [height, width, channels] = network.inputShape;
  if (images.shape[1] !== height || images.shape[2] !== width || images.shape[3] !== channels) {
    throw new CodaError({
      kind: 'mismatch',
      where: paths.join(', '),
      problem: `not the size that ${path} takes`,
      expected: `[N, ${height}, ${width}, ${channels}]`,
      got: `[${images.shape.join(', ')}]`,
    });
  }
  return { names, images, batch: paths.length === 1 && paths[0]?.endsWith('.npy') === true };
}
