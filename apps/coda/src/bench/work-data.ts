/** Images and labels that every contender of a bench reads from one file: the same numbers for all. */
import { decodeSafetensors, encodeSafetensors, ndArray, sizeOf, type NdArray, type Network, type Random } from '@coda-nets/core';
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';

const MAX_BYTES = 2 ** 32;

export interface WorkData {
  /** [N, H, W, 3] in [0, 1] */
  readonly images: NdArray<'float32'>;
  /** [N] */
  readonly labels: NdArray<'int32'>;
}

/** As safetensors. */
export async function writeWorkData(
  path: string,
  network: Pick<Network, 'inputShape' | 'classes'>,
  images: number,
  random: Random,
): Promise<void> {
  const shape = [images, ...network.inputShape];
  const data = {
    images: ndArray(
      'float32',
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => random.uniform()),
    ),
    labels: ndArray(
      'int32',
      [images],
      Int32Array.from({ length: images }, (_, i) => (7 * i) % network.classes),
    ),
  };
  await writeFileAtomic(path, encodeSafetensors(data));
}

/** The first `batch`. */
export async function readWorkData(path: string, batch: number): Promise<WorkData> {
  const { tensors } = decodeSafetensors(await readFileBytes(path, { maxBytes: MAX_BYTES }), path);
  const { images, labels } = tensors as unknown as WorkData;
  const shape = [batch, ...images.shape.slice(1)];
  return {
    images: ndArray('float32', shape, images.data.slice(0, sizeOf(shape))),
    labels: ndArray('int32', [batch], labels.data.slice(0, batch)),
  };
}
