/** An image while it is augmented: 8-bit RGB. Not a batch, and not what the network sees: that is in [0, 1]. */

export interface Pixels {
  readonly height: number;
  readonly width: number;
  /** [H, W, 3], C order, 0 … 255. */
  readonly data: Uint8Array;
}

/** Every value v becomes table[v], or with three tables that of its channel. In place. */
export function lookUp({ data }: Pixels, tables: readonly [Uint8Array, Uint8Array, Uint8Array]): void {
  const [red, green, blue] = tables;
  for (let i = 0; i < data.length; i += 3) {
    data[i] = red[data[i] as number] as number;
    data[i + 1] = green[data[i + 1] as number] as number;
    data[i + 2] = blue[data[i + 2] as number] as number;
  }
}

/** round((0.299 r + 0.587 g + 0.114 b)) of ITU-R BT.601, with 16-bit weights: integers alone, the same on every machine. */
export function luma(red: number, green: number, blue: number): number {
  return (red * 19_595 + green * 38_470 + blue * 7471 + 0x8000) >> 16;
}

/** Mirrored left to right, in place. */
export function mirror({ height, width, data }: Pixels): void {
  for (let y = 0; y < height; y++) {
    let left = y * width * 3;
    for (let right = left + (width - 1) * 3; left < right; left += 3, right -= 3) {
      const [red, green, blue] = [data[left] as number, data[left + 1] as number, data[left + 2] as number];
      data[left] = data[right] as number;
      data[left + 1] = data[right + 1] as number;
      data[left + 2] = data[right + 2] as number;
      data[right] = red;
      data[right + 1] = green;
      data[right + 2] = blue;
    }
  }
}
