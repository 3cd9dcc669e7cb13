/** The file that one share of an evaluation leaves for `coda merge`: its figures batch by batch, and what they are of. */
import { CodaError, parseConfig, type JsonValue } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { mergeEvaluations, type Evaluation, type EvaluationPart, type Share } from '@coda-nets/train';
import * as v from 'valibot';
import { readJson } from './read-json.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

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
  shard: v.strictObject({ index: count, count }),
  part: v.strictObject({
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
    of: count,
    seconds: v.number(),
  }),
});

export type EvaluationWork = v.InferOutput<typeof evaluationFileSchema>['work'];

export interface EvaluationFile {
  readonly work: EvaluationWork;
  readonly shard: Share;
  readonly part: EvaluationPart;
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

/** All shares together. Throws a CodaError where they are not of one work, or one is missing. */
export function mergedEvaluation(files: readonly (EvaluationFile & { readonly path: string })[]): Evaluation & { readonly split: string } {
  const [first] = files as readonly [EvaluationFile & { readonly path: string }];
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
  const missing = Array.from({ length: shares }, (_, i) => i).filter((i) => files.every(({ shard }) => shard.index !== i));
  if (missing.length > 0) {
    throw new CodaError({
      kind: 'mismatch',
      where: 'merge',
      problem: 'some shares are not there',
      expected: `${shares} files, of the shares 0/${shares} to ${shares - 1}/${shares}`,
      got: `none of ${missing.map((i) => `${i}/${shares}`).join(', ')}`,
    });
  }
  return {
    ...mergeEvaluations(
      files.map(({ part }) => part),
      'merge',
    ),
    split: first.work.split,
  };
}

function isSame(a: JsonValue, b: JsonValue): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
