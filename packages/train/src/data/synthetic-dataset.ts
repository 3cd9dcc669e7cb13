/**
 * A toy: images of coloured shapes on a noisy background, made here, for tests, examples and a first try without a
 * network connection. Anything learns it within a few hundred steps; no figure measured on it says anything about real
 * images.
 */
import { CodaError, Random } from '@coda-nets/core';
import { imageSplit, type PixelDataset, type PixelSplit, type SplitName } from './image-dataset.ts';

export interface SyntheticOptions {
  /** 1 to 10. */
  readonly classes?: number;
  /** Training images of each class. */
  readonly perClass?: number;
  /** Test images of each class; a fifth of `perClass`, at least one, where not given. */
  readonly testPerClass?: number;
  /** H = W, 8 to 256. */
  readonly size?: number;
  readonly seed?: number;
}

type Colour = readonly [red: number, green: number, blue: number];
/** Whether a point is inside; x and y are in shape radii from the centre. */
type Shape = (x: number, y: number) => boolean;

const disc: Shape = (x, y) => x * x + y * y < 0.9;
const square: Shape = (x, y) => Math.abs(x) < 0.8 && Math.abs(y) < 0.8;
const triangle: Shape = (x, y) => y > -0.9 && y < 0.8 && Math.abs(x) < (y + 0.9) * 0.55;
const cross: Shape = (x, y) => Math.min(Math.abs(x), Math.abs(y)) < 0.3 && Math.max(Math.abs(x), Math.abs(y)) < 1;
const ring: Shape = (x, y) => x * x + y * y < 1 && x * x + y * y > 0.35;

const kinds: readonly (readonly [name: string, shape: Shape, colour: Colour])[] = [
  ['red disc', disc, [215, 50, 45]],
  ['green square', square, [60, 180, 70]],
  ['blue triangle', triangle, [55, 90, 215]],
  ['yellow cross', cross, [230, 205, 50]],
  ['purple ring', ring, [160, 60, 190]],
  ['orange square', square, [240, 140, 40]],
  ['cyan disc', disc, [60, 200, 210]],
  ['white triangle', triangle, [240, 240, 240]],
  ['pink cross', cross, [245, 130, 185]],
  ['black ring', ring, [20, 20, 25]],
];

/**
 * Images are dealt round the classes: image n is of class n mod classes. The same options give the same bytes
 * everywhere.
 */
export function syntheticDataset({
  classes = 10,
  perClass = 100,
  testPerClass = Math.max(1, Math.floor(perClass / 5)),
  size = 32,
  seed = 0,
}: SyntheticOptions = {}): PixelDataset {
  check('classes', classes, 1, kinds.length);
  check('perClass', perClass, 1, 100_000);
  check('testPerClass', testPerClass, 1, 100_000);
  check('size', size, 8, 256);
  const random = Random.seeded(seed);
  const splits = new Map<SplitName, PixelSplit>();
  return {
    name: 'synthetic',
    classNames: kinds.slice(0, classes).map(([name]) => name),
    inputShape: [size, size, 3],
    split(name) {
      let split = splits.get(name);
      if (split === undefined) {
        split = draw(classes * (name === 'train' ? perClass : testPerClass), classes, size, random.split(name));
        splits.set(name, split);
      }
      return split;
    },
  };
}

function draw(count: number, classes: number, size: number, random: Random): PixelSplit {
  const images = new Uint8Array(count * size * size * 3);
  const labels = Uint8Array.from({ length: count }, (_, n) => n % classes);
  let to = 0;
  for (let n = 0; n < count; n++) {
    const [, shape, colour] = kinds[n % classes] as (typeof kinds)[number];
    const radius = size * (0.22 + 0.16 * random.uniform());
    const centreX = radius + random.uniform() * (size - 2 * radius);
    const centreY = radius + random.uniform() * (size - 2 * radius);
    const grey = 70 + random.below(90);
    const light = 0.8 + 0.2 * random.uniform();
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const inside = shape((x + 0.5 - centreX) / radius, (y + 0.5 - centreY) / radius);
        const noise = random.uint32();
        for (let c = 0; c < 3; c++) {
          const base = inside ? (colour[c] as number) * light : grey;
          images[to++] = Math.max(0, Math.min(255, Math.round(base + ((noise >>> (8 * c)) & 31) - 16)));
        }
      }
    }
  }
  return imageSplit([size, size, 3], images, labels);
}

function check(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new CodaError({
    kind: 'argument',
    where: `syntheticDataset: ${name}`,
    problem: 'out of range',
    expected: `an integer from ${least} to ${most}`,
    got: String(value),
  });
}
