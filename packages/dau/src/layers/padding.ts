/** Zeros around a map, in the words of `tf.layers` ('valid', 'same') or as their number on each side. */

export type Padding = 'valid' | 'same' | number;

export interface Window {
  readonly kernelSize: number;
  readonly strides: number;
  readonly padding: Padding;
}

/**
 * Zeros before and after an axis of `length`. 'same' is TensorFlow's: ⌈length / stride⌉ positions, and where their number is odd one more zero after
 * than before. At stride 1 and an odd kernel that is ⌊k/2⌋ on both sides, as in the published networks.
 */
export function zerosAround(length: number, { kernelSize, strides, padding }: Window): readonly [number, number] {
  if (padding === 'valid') return [0, 0];
  if (padding !== 'same') return [padding, padding];
  const all = Math.max((Math.ceil(length / strides) - 1) * strides + kernelSize - length, 0);
  return [Math.floor(all / 2), Math.ceil(all / 2)];
}

/** Positions of the window over an axis of `length`; below 1 where the kernel does not fit. */
export function positions(length: number, window: Window): number {
  const [before, after] = zerosAround(length, window);
  return Math.floor((before + length + after - window.kernelSize) / window.strides) + 1;
}
