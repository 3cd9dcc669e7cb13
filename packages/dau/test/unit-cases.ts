/** A convolutional unit of n neurons of rank r on maps of `size` [N, H, W, C]. */
export interface UnitCase {
  readonly size: readonly [number, number, number, number];
  readonly k: number;
  readonly n: number;
  readonly r: number;
  readonly stride: number;
  readonly padding: number;
}

/** Odd and even maps, kernels 1 to 5, ranks below and above the patch's size, strides that leave a rest. */
export const unitCases: readonly UnitCase[] = [
  { size: [1, 1, 1, 1], k: 1, n: 1, r: 1, stride: 1, padding: 0 },
  { size: [2, 5, 7, 2], k: 3, n: 3, r: 4, stride: 1, padding: 1 },
  { size: [2, 6, 5, 3], k: 3, n: 2, r: 1, stride: 2, padding: 1 },
  { size: [1, 7, 8, 2], k: 2, n: 4, r: 3, stride: 3, padding: 0 },
  { size: [3, 4, 4, 3], k: 1, n: 2, r: 5, stride: 1, padding: 0 },
  { size: [1, 9, 7, 3], k: 5, n: 2, r: 7, stride: 2, padding: 3 },
];
