/** The file that one share of an evaluation leaves for `coda merge`: its figures batch by batch, and what they are of. */
import { CodaError, parseConfig, type JsonValue } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { mergeEvaluations, type Evaluation, type EvaluationPart, type Share } from '@coda-nets/train';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { MOST_SHARES } from './in-group.ts';
import { readJson } from './read-json.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** Of one evaluation: a billion images at a hundred a batch. */
const MOST_BATCHES = 10_000_000;
/** Of what is missing, in an error. */
const MOST_LISTED = 10;

const evaluationFileSchema = v.strictObject({
  coda: v.literal('a share of an evaluation'),
  /** What must be the same in all shares. */
  work: v.strictObject({
    model: v.string(),
    data: v.string(),
    split: v.picklist(['train', 'test']),
    images: count,
    engine: v.string(),
  }),
  shard: v.pipe(
    v.strictObject({ index: count, count: v.pipe(count, v.minValue(1), v.maxValue(MOST_SHARES)) }),
    v.check(({ index, count: of }) => index < of, 'the index is not below the count'),
  ),
  part: v.pipe(
    v.strictObject({
      batches: v.array(
        v.strictObject({
          batch: count,
          images: count,
          loss: v.number(),
          top1: count,
          top5: count,
          bad: v.array(v.strictObject({ place: count, file: v.string(), reason: v.string() })),
        }),
      ),
      of: v.pipe(count, v.minValue(1), v.maxValue(MOST_BATCHES)),
      seconds: v.pipe(v.number(), v.finite(), v.minValue(0)),
    }),
    v.check(({ batches, seconds }) => batches.length === 0 || seconds > 0, 'batches that took no time'),
  ),
});

export type EvaluationWork = v.InferOutput<typeof evaluationFileSchema>['work'];

export interface EvaluationFile {
  readonly work: EvaluationWork;
  readonly shard: Share;
  readonly part: EvaluationPart;
}

/** Makes the folder of the file, before there is work that could be lost. Throws a CodaError that begins with the folder. */
export async function makeRoomFor(path: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    const problem = `this folder could not be made (${cause.code ?? cause.message})`;
    throw new CodaError({ kind: 'unavailable', where: folder, problem, cause });
  });
}

export async function writeEvaluation(path: string, { work, shard, part }: EvaluationFile): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify({ coda: 'a share of an evaluation', work, shard, part })}\n`);
}

/** Throws a CodaError that begins with the path. */
export async function readEvaluation(path: string): Promise<EvaluationFile> {
  return parseConfig(evaluationFileSchema, await readJson(path), path);
}

/** The share that an earlier call has left there of the same work; undefined where there is none, or of another. */
export async function doneEvaluation(path: string, work: EvaluationWork, shard: Share): Promise<EvaluationFile | undefined> {
  const file = await readEvaluation(path).catch(() => undefined);
  return file !== undefined && isSame(file.work, work) && isSame({ ...file.shard }, { ...shard }) ? file : undefined;
}

/** A share and who has it: a file, or a rank. */
export type NamedEvaluation = EvaluationFile & { readonly path: string };

/** All shares together. Throws a CodaError where they are not of one work, or one is missing or there twice. `where` is named in errors. */
export function mergedEvaluation(files: readonly NamedEvaluation[], where = 'merge'): Evaluation & { readonly split: string } {
  const [first] = files as readonly [NamedEvaluation];
  const other = files.find(({ work }) => !isSame(work, first.work));
  if (other !== undefined) {
    const key = Object.keys(first.work).find(
      (name) => other.work[name as keyof EvaluationWork] !== first.work[name as keyof EvaluationWork],
    );
    const of = ({ work }: EvaluationFile): string => JSON.stringify(work[key as keyof EvaluationWork]);
    throw new CodaError({
      kind: 'mismatch',
      where: other.path,
      problem: `a share of another evaluation than ${first.path}: its ${key} differs`,
      expected: of(first),
      got: of(other),
    });
  }
  const { count: shares } = first.shard;
  const owner = new Map<number, string>();
  for (const { path, shard } of files) {
    if (shard.count !== shares) {
      const problem = `a share of another number of shares than ${first.path}`;
      throw new CodaError({ kind: 'mismatch', where: path, problem, expected: `one of ${shares}`, got: `${shard.index}/${shard.count}` });
    }
    const before = owner.get(shard.index);
    if (before !== undefined) {
      throw new CodaError({ kind: 'mismatch', where: path, problem: `share ${shard.index}/${shares} is in ${before} too` });
    }
    owner.set(shard.index, path);
  }
  if (owner.size < shares) {
    const missing = Array.from({ length: shares }, (_, i) => i).filter((i) => !owner.has(i));
    const more = missing.length > MOST_LISTED ? ` and ${missing.length - MOST_LISTED} more` : '';
    throw new CodaError({
      kind: 'mismatch',
      where,
      problem: 'some shares are not there',
      expected: `${shares} files, of the shares 0/${shares} to ${shares - 1}/${shares}`,
      got: `none of ${missing
        .slice(0, MOST_LISTED)
        .map((i) => `${i}/${shares}`)
        .join(', ')}${more}`,
    });
  }
  const parts = files.map(({ part }) => part);
  return { ...mergeEvaluations(parts, where), split: first.work.split };
}

function isSame(a: JsonValue, b: JsonValue): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
