/** The INPUT arguments of predict and explain as one batch the model takes. */
import type { NdArray } from '@coda-nets/core';
import { loadImages } from '@coda-nets/train';
import type { OpenModel } from './open-model.ts';

export interface ImageInputs {
  readonly names: readonly string[];
  /** The files that were read. */
  readonly files: readonly string[];
  /** [N, H, W, 3], float32 in [0, 1] */
  readonly images: NdArray<'float32'>;
  /** A `.npy` batch was given: it went in as it is, and answers are batches too. */
  readonly batch: boolean;
}

/** Images get the model's preprocessing; a `.npy` batch keeps its size, which need not be the one the model was trained with. */
export async function imageInputs(paths: readonly string[], { model }: OpenModel): Promise<ImageInputs> {
  const { size, resize, interpolation } = model.preprocessing;
  const { names, files, images } = await loadImages(paths, { size, resize, interpolation });
  return { names, files, images, batch: paths.length === 1 && /\.npy$/i.test(paths[0] as string) };
}
