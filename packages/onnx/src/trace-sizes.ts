/** Which numbers stand for the open sizes of a signature while it is traced: one set for each trace. */
import { CodaError, openSize, type ArraySpec, type Signature } from '@coda-nets/core';

/** What each symbol is in one trace. */
export type Sizes = ReadonlyMap<string, number>;

/**
 * Sizes that change with the batch are told from sizes that do not. The first two are 17 apart, so their remainders differ by every number but 17, and a function
 * that computes with them is found out; small, since tfjs allocates `ones(shape)`. A few and many show what a function does otherwise for those.
 */
const BATCH = [13, 30, 3, 67, 11] as const;
/**
 * Of an axis that convolutions halve. 32·n stays even five times, 32·n + 1 odd (rounded up), so padding that depends on being even differs between the first
 * two traces; the third is odd and even by turns. All three remainders by 3 occur. Then a large image, and a small one.
 */
const SPACE = [
  [64, 129, 77, 203, 40],
  [96, 65, 55, 211, 36],
  [160, 161, 81, 199, 44],
] as const;
/** Of an axis that is a multiple of what it is divided by. */
const MULTIPLES = [
  [2, 5, 3, 11, 4],
  [4, 3, 7, 13, 6],
  [5, 9, 2, 17, 3],
] as const;

/** The sizes of each trace: one when nothing is open, four when the batch alone is, five when others are, whose last is an image that may be too small. */
export function traceSizes({ inputs }: Signature): readonly Sizes[] {
  const words = Object.values(inputs).flatMap(({ shape }) => shape.filter((d) => typeof d === 'string'));
  const open = words.map((word) => openSize(word));
  const symbols = [...new Set(open.map(({ symbol }) => symbol))];
  if (symbols.length === 0) return [new Map()];
  const space = symbols.filter((symbol) => symbol !== 'batch');
  if (space.length > SPACE.length) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'trace: signature',
      problem: 'too many open sizes',
      expected: `batch and at most ${SPACE.length} others`,
      got: space.join(', '),
    });
  }
  const sizesOf = (symbol: string): readonly number[] => {
    if (symbol === 'batch') return BATCH;
    const divided = open.every((o) => o.symbol !== symbol || o.times > 1);
    return (divided ? MULTIPLES : SPACE)[space.indexOf(symbol)] as readonly number[];
  };
  const traces = space.length === 0 ? [0, 1, 2, 3] : [0, 1, 2, 3, 4];
  return traces.map((i) => new Map(symbols.map((symbol) => [symbol, sizesOf(symbol)[i] as number])));
}

/** The sizes of the first trace with a batch of one, for which TensorFlow.js itself does less: undefined where the batch is fixed. */
export function batchOfOne([first]: readonly Sizes[]): Sizes | undefined {
  return first?.has('batch') === true ? new Map([...first, ['batch', 1]]) : undefined;
}

/** Whether the sizes stand for an image that a function of large ones may refuse. */
export const mayBeTooSmall = (sizes: readonly Sizes[], index: number): boolean => index === 4 && sizes.length === 5;

/** The shape of an input in a trace. */
export const shapeIn = ({ shape }: ArraySpec, sizes: Sizes): readonly number[] =>
  shape.map((d) => {
    if (typeof d === 'number') return d;
    const { symbol, times } = openSize(d);
    return (sizes.get(symbol) as number) * times;
  });
