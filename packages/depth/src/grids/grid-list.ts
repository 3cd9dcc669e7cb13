/**
 * Grids of confident, correctly classified images of distinct classes: drawn once, stored, so that all methods and networks are compared on the
 * same ones (arXiv 2104.00032, section 4.2; the selection as its supplement has it).
 */
import { CodaError, Random, type NdArray } from '@coda-nets/core';

/** n² images by their index, and their classes; row by row. */
export type Grid = { readonly images: readonly number[]; readonly classes: readonly number[] };

/** JSON-able: stored with each result. */
export type GridList = {
  /** Cells along each side. */
  readonly n: number;
  readonly seed: number;
  readonly threshold: number;
  readonly grids: readonly Grid[];
};

export interface GridListOptions {
  /** Of each network that the grids are for: an image counts where all are right and sure. The first one's logits rank the images. */
  readonly predictions: readonly { readonly logits: NdArray<'float32'>; readonly probabilities: NdArray<'float32'> }[];
  /** [N] */
  readonly labels: ArrayLike<number>;
  /** Cells along each side. Default 3. */
  readonly n?: number;
  /** The most grids. Default 500; fewer where images run out. */
  readonly count?: number;
  /** An image counts where its class's probability is above it. Default 0.5; `attr-eval` takes 0.99. */
  readonly threshold?: number;
  /** Default 0. */
  readonly seed?: number;
}

/**
 * Each class's images by falling logit; then, while more than n² classes have images left, n² distinct classes are drawn and each one's next
 * image is taken. Every image stands in one grid at most. (The authors' code advances its index by one too many for each grid; this does not.)
 * Throws a CodaError where that gives no grid at all, and for an n below 2: in a grid of one image every map is in its cell.
 */
export function confidentGrids(options: GridListOptions): GridList {
  const { predictions, labels, n = 3, count = 500, threshold = 0.5, seed = 0 } = options;
  atLeast(2, n, 'n');
  atLeast(1, count, 'count');
  const cells = n * n;
  const random = Random.seeded(seed);
  const queues = confidentImages(predictions, labels, threshold);
  const grids: Grid[] = [];
  while (grids.length < count) {
    const left = queues.flatMap((queue, c) => (queue.length > 0 ? [c] : []));
    if (left.length <= cells) break;
    const classes = Array.from(random.permutation(left.length).subarray(0, cells), (i) => left[i] as number);
    grids.push({ images: classes.map((c) => queues[c]?.shift() as number), classes });
  }
  if (grids.length === 0) {
    throw new CodaError({
      kind: 'argument',
      where: 'confidentGrids',
      problem: `no ${n} × ${n} grid can be drawn`,
      expected: `more than ${cells} classes with images that are classified right with a probability above ${threshold}`,
      got: String(queues.filter((queue) => queue.length > 0).length),
    });
  }
  return { n, seed, threshold, grids };
}

function atLeast(least: number, value: number, name: string): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new CodaError({
    kind: 'argument',
    where: `confidentGrids: ${name}`,
    problem: name === 'n' ? 'not the cells along a side of a grid' : 'not a number of grids',
    expected: `an integer from ${least}`,
    got: String(value),
  });
}

/** By class, the images to take in their order. Equal logits: the lower index first. */
function confidentImages(predictions: GridListOptions['predictions'], labels: ArrayLike<number>, threshold: number): number[][] {
  const [first] = predictions;
  const [images = 0, classes = 0] = first?.logits.shape ?? [];
  if (
    first === undefined ||
    predictions.some(({ logits }) => logits.shape[0] !== images || logits.shape[1] !== classes) ||
    labels.length !== images
  ) {
    throw new CodaError({
      kind: 'argument',
      where: 'confidentGrids: predictions',
      problem: 'not of the same images as the labels',
      expected: `logits [${labels.length}, C] of each network`,
      got: predictions.map(({ logits }) => `[${logits.shape.join(', ')}]`).join(', ') || 'none',
    });
  }
  const queues: number[][] = Array.from({ length: classes }, () => []);
  for (let i = 0; i < images; i++) {
    const label = labels[i] as number;
    const sure = predictions.every(({ logits, probabilities }) => {
      const row = logits.data.subarray(i * classes, (i + 1) * classes);
      return row.every((z) => z <= (row[label] as number)) && (probabilities.data[i * classes + label] as number) > threshold;
    });
    if (sure) queues[label]?.push(i);
  }
  for (const [c, queue] of queues.entries()) {
    const logit = (i: number): number => first.logits.data[i * classes + c] as number;
    queue.sort((i, j) => logit(j) - logit(i) || i - j);
  }
  return queues;
}
