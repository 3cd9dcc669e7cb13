/** Images as an exported file's input wants them. */
import { ndArray, type NdArray } from '@coda-nets/core';
import type { ArrayInfo } from '@coda-nets/onnx';

/** The images `picks` of [N, H, W, C], in the layout and dtype of the input `image` of a file. */
export function imageBatch(images: NdArray<'float32'>, picks: readonly number[], { shape: wanted, dtype }: ArrayInfo): NdArray {
  const [, h, w, c] = images.shape as [number, number, number, number];
  const channelsLast = wanted[3] === c;
  const size = h * w * c;
  const data = new Float32Array(picks.length * size);
  for (const [n, i] of picks.entries()) {
    for (let p = 0; p < h * w; p++) {
      for (let channel = 0; channel < c; channel++) {
        const at = channelsLast ? p * c + channel : channel * h * w + p;
        data[n * size + at] = images.data[i * size + p * c + channel] as number;
      }
    }
  }
  const shape = channelsLast ? [picks.length, h, w, c] : [picks.length, c, h, w];
  if (dtype !== 'uint8') return ndArray('float32', shape, data);
  return ndArray(
    'uint8',
    shape,
    Uint8Array.from(data, (x) => Math.round(x * 255)),
  );
}
