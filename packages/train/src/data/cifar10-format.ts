/**
 * The binary layout of CIFAR-10 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009) and what
 * its files must contain. A record is one label byte and 3 × 32 × 32 pixel bytes, channel-major; a file is records
 * without a header.
 */

export const cifar10Shape: readonly [number, number, number] = [32, 32, 3];
const pixelsPerChannel = 32 * 32;
export const bytesPerImage = 3 * pixelsPerChannel;
export const bytesPerRecord = 1 + bytesPerImage;
/** Of one file: what the official ones have. */
export const maxRecordsPerFile = 10_000;

export const trainFiles: readonly string[] = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`);
export const testFile = 'test_batch.bin';
export const namesFile = 'batches.meta.txt';

export const cifar10ClassNames: readonly string[] = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
];

/** The text of `batches.meta.txt`: a name a line and, as in the official file, an empty line at the end. */
export function classNamesText(names: readonly string[]): string {
  return `${names.join('\n')}\n\n`;
}

export interface ExpectedFile {
  readonly name: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/**
 * The official files. The hashes of the `.bin` files were computed from the npm mirror's images, and several projects
 * independently publish the same ones for the files inside the official archive: both sources give the same bytes in
 * the same order.
 */
export const cifar10Files: readonly ExpectedFile[] = [
  ['data_batch_1.bin', 'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5'],
  ['data_batch_2.bin', 'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed'],
  ['data_batch_3.bin', 'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67'],
  ['data_batch_4.bin', '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48'],
  ['data_batch_5.bin', '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add'],
  ['test_batch.bin', '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b'],
].map(([name, sha256]) => ({
  name: name as string,
  bytes: maxRecordsPerFile * bytesPerRecord,
  sha256: sha256 as string,
}));

/** Unpacks `count` records into NHWC images and labels, both from image `first` on. No checks. */
export function unpackRecords(records: Uint8Array, count: number, images: Uint8Array, labels: Uint8Array, first: number): void {
  for (let n = 0; n < count; n++) {
    const from = n * bytesPerRecord;
    labels[first + n] = records[from] as number;
    const red = from + 1;
    const green = red + pixelsPerChannel;
    const blue = green + pixelsPerChannel;
    let to = (first + n) * bytesPerImage;
    for (let p = 0; p < pixelsPerChannel; p++) {
      images[to++] = records[red + p] as number;
      images[to++] = records[green + p] as number;
      images[to++] = records[blue + p] as number;
    }
  }
}

/** The inverse of `unpackRecords`: records of the images `first` … `first + count − 1`. */
export function packRecords(images: Uint8Array, labels: ArrayLike<number>, first: number, count: number): Uint8Array {
  const records = new Uint8Array(count * bytesPerRecord);
  for (let n = 0; n < count; n++) {
    const to = n * bytesPerRecord;
    records[to] = labels[first + n] as number;
    const red = to + 1;
    const green = red + pixelsPerChannel;
    const blue = green + pixelsPerChannel;
    let from = (first + n) * bytesPerImage;
    for (let p = 0; p < pixelsPerChannel; p++) {
      records[red + p] = images[from++] as number;
      records[green + p] = images[from++] as number;
      records[blue + p] = images[from++] as number;
    }
  }
  return records;
}
