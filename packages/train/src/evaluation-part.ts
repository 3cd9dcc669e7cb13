/**
 * A part of an evaluation, batch by batch, and all parts together. Figures are added up in the order of batches whoever has measured them, so that the
 * parts of many processes give the same bits as one process. Computes no logits.
 */
import { CodaError } from '@coda-nets/core';
import type { BadImage } from './data/make-batch.ts';
import type { Evaluation } from './evaluation.ts';

/** Of `count` that divide a work among them: the one of this number, from 0. */
export interface Share {
  readonly index: number;
  readonly count: number;
}

export const wholeWork: Share = { index: 0, count: 1 };

/** Whether piece number `piece` belongs to the share: pieces are dealt in turns. */
export function isOf({ index, count }: Share, piece: number): boolean {
  return piece % count === index;
}

export interface BatchFigures {
  /** Number of the batch in the split. */
  readonly batch: number;
  /** That could be read. */
  readonly images: number;
  /** Sum over the images of the network's loss. */
  readonly loss: number;
  /** How many images. */
  readonly top1: number;
  readonly top5: number;
  readonly bad: readonly BadImage[];
}

export interface EvaluationPart {
  /** In rising order. */
  readonly batches: readonly BatchFigures[];
  /** Batches of the whole evaluation. */
  readonly of: number;
  readonly seconds: number;
}

/**
 * @throws CodaError `mismatch` where a batch is in no part or in two, `malformed` where no image of the split could be read. `where` is named in errors.
 */
export function mergeEvaluations(parts: readonly EvaluationPart[], where = 'mergeEvaluations'): Evaluation {
  const batches = parts.flatMap((part) => part.batches).toSorted((a, b) => a.batch - b.batch);
  const of = parts[0]?.of ?? 0;
  const other = parts.find((part) => part.of !== of);
  if (other !== undefined) {
    throw new CodaError({ kind: 'mismatch', where, problem: 'parts of two evaluations', expected: `${of} batches`, got: String(other.of) });
  }
  const known = new Set(batches.map(({ batch }) => batch));
  const missing = Array.from({ length: of }, (_, i) => i).filter((i) => !known.has(i));
  const twice = batches.map(({ batch }) => batch).filter((batch, i) => batch === batches[i - 1]?.batch);
  const beyond = batches.find(({ batch }) => batch >= of);
  if (beyond !== undefined) {
    throw new CodaError({
      kind: 'mismatch',
      where,
      problem: 'a batch is beyond the last',
      expected: `0 to ${of - 1}`,
      got: String(beyond.batch),
    });
  }
  if (missing.length > 0 || twice.length > 0) {
    throw new CodaError({
      kind: 'mismatch',
      where,
      problem: missing.length > 0 ? 'some batches are in no part' : 'some batches are in two parts',
      expected: `each of ${of} once`,
      got: missing.length > 0 ? `none of ${listed(missing)}` : `twice ${listed(twice)}`,
    });
  }
  const total = (of: (figures: BatchFigures) => number): number => batches.reduce((sum, figures) => sum + of(figures), 0);
  const images = total((figures) => figures.images);
  const bad = batches.flatMap((figures) => figures.bad);
  if (images === 0) {
    const [first] = bad;
    throw new CodaError({
      kind: 'malformed',
      where: first?.file ?? where,
      problem: first === undefined ? 'there are no images' : `no image of the split could be read; of this one: ${first.reason}`,
    });
  }
  return {
    loss: total((figures) => figures.loss) / images,
    top1: total((figures) => figures.top1) / images,
    top5: total((figures) => figures.top5) / images,
    images,
    imagesPerSecond: images / Math.max(...parts.map(({ seconds }) => seconds)),
    bad,
  };
}

function listed(numbers: readonly number[]): string {
  const most = 10;
  return numbers.length > most ? `${numbers.slice(0, most).join(', ')} and ${numbers.length - most} more` : numbers.join(', ');
}
