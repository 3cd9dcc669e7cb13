/** `coda evaluate` */
import { readFileBytes } from '@coda-nets/core/node';
import {
  batchMaker,
  defaultWorkers,
  evaluatePart,
  openDataset,
  selectClasses,
  subset,
  type ClassSelection,
  type ImageSplit,
} from '@coda-nets/train';
import type { Command } from 'commander';
import { createHash } from 'node:crypto';
import { defineCommand, engineOf, ioOf, oneOf, wholeNumber, type CommonOptions } from '../define-command.ts';
import { checkDataset } from '../check-dataset.ts';
import { inClassesOfModel } from '../classes-of-model.ts';
import { classSelection } from '../class-selection.ts';
import {
  doneEvaluation,
  makeRoomFor,
  mergedEvaluation,
  writeEvaluation,
  type EvaluationWork,
  type NamedEvaluation,
} from '../evaluation-file.ts';
import { checkShardOut, gatherJson, inGroup, withShardOption, type Member, type ShardOptions } from '../in-group.ts';
import { openModel } from '../open-model.ts';
import { tellEvaluation } from '../tell-evaluation.ts';

interface Options extends CommonOptions, ShardOptions {
  readonly data: string;
  readonly split: 'train' | 'test';
  readonly limit?: number;
  readonly classes?: ClassSelection;
  readonly workers?: number;
  readonly out?: string;
}

/** A model of a billion parameters. */
const MAX_MODEL_BYTES = 2 ** 32;

export function evaluateCommand(): Command {
  return withShardOption(
    defineCommand('evaluate', 'loss, top-1, top-5, images a second', 'evaluate runs/demo/hybrid.safetensors --data cifar10'),
  )
    .argument('<model>', 'a model file')
    .requiredOption('--data <name>', 'a data set by name, or its folder')
    .option('--split <name>', 'train or test', oneOf('train', 'test'), 'test')
    .option('--limit <n>', 'only the first so many images', wholeNumber(1))
    .option('--classes <list>', 'only these classes, in this order: so many of the first, or names between commas', classSelection)
    .option('--workers <n>', 'threads that decode images', wholeNumber(0))
    .option('--out <file>', 'with --shard: where its figures go, for `coda merge`')
    .action(async (path: string, options: Options) => {
      checkShardOut('evaluate', options.shard, options.out);
      if (options.out !== undefined) await makeRoomFor(options.out);
      await inGroup(options, ioOf(options), (member) => evaluateIn(member, path, options));
    });
}

async function evaluateIn({ group, io, threads }: Member, path: string, options: Options): Promise<void> {
  const { network, model } = await openModel(path);
  const whole = await openDataset(options.data);
  const dataset =
    options.classes === undefined
      ? inClassesOfModel(whole, model.classNames, options.data, (line) => io.say(line))
      : selectClasses(whole, options.classes);
  checkDataset(dataset, network, options.data);
  const split = firstOf(dataset.split(options.split), options.limit);
  const engine = await engineOf(options, io, threads);
  const { shard, out } = options;
  const share = shard ?? { index: group.rank, count: group.size };
  const sha256 = createHash('sha256');
  const work: EvaluationWork = {
    model: sha256.update(await readFileBytes(path, { maxBytes: MAX_MODEL_BYTES })).digest('hex'),
    data: split.fingerprint,
    split: options.split,
    images: split.length,
    engine: engine.name,
  };
  if (shard !== undefined && out !== undefined && (await doneEvaluation(out, work, shard)) !== undefined) {
    io.say(`share ${shard.index} of ${shard.count} is in ${out} already`);
    io.result({ out, shard, done: true });
    return;
  }
  const bar = io.progress('evaluate', split.length, 'images');
  const maker = batchMaker(options.workers ?? (split.kind === 'files' ? defaultWorkers() : 0));
  const { resize } = model.preprocessing;
  const part = await evaluatePart(
    { network, weights: model.weights, engine, split, resize, maker, onProgress: (done) => bar.update(done * share.count) },
    share,
  ).finally(() => bar.stop());
  await maker.dispose();
  if (shard !== undefined && out !== undefined) {
    await writeEvaluation(out, { work, shard, part });
    io.say(`share ${shard.index} of ${shard.count}: ${part.batches.length} of ${part.of} batches, in ${out}`);
    io.result({ out, shard, done: false });
    return;
  }
  const own: NamedEvaluation = { path: group.name, work, shard: share, part };
  const result = mergedEvaluation(await gatherJson(group, own, 'figures of an evaluation'), 'evaluate');
  tellEvaluation(io, result, { engine: engine.name, ...(group.size > 1 && { ranks: group.size }) });
}

function firstOf(split: ImageSplit, limit: number = split.length): ImageSplit {
  if (limit >= split.length) return split;
  return subset(
    split,
    Array.from({ length: limit }, (_, i) => i),
  );
}
