/** `coda train` */
import { openDataset, type ClassSelection, type TrainConfigInput } from '@coda-nets/train';
import type { Command } from 'commander';
import { defineCommand, engineOf, ioOf, oneOf, positiveNumber, wholeNumber, type CommonOptions } from '../define-command.ts';
import { classSelection } from '../class-selection.ts';
import { inGroup, withGroupOptions, type GroupOptions, type Member } from '../in-group.ts';
import { Interrupted } from '../interrupted.ts';
import { duration } from '../progress.ts';
import { quoted } from '../quoted.ts';
import { trainPresets } from '../train-presets.ts';
import { trainRun } from '../train-run.ts';

interface Options extends CommonOptions, GroupOptions {
  readonly data: string;
  readonly out: string;
  readonly epochs?: number;
  readonly batch?: number;
  readonly lr?: number;
  readonly limit?: number;
  readonly classes?: ClassSelection;
  readonly maxBad?: number;
  readonly workers?: number;
  readonly featureCache?: string;
  readonly stem?: string;
  readonly cacheFeatures?: boolean;
  readonly resume?: true;
  readonly scaleLr?: 'none' | 'linear';
}

export function trainCommand(): Command {
  return withGroupOptions(
    defineCommand(
      'train',
      'trains a network in a run folder; an interrupted run goes on with --resume',
      'coda train hybrid-cifar10-resnet20 --data cifar10 --out runs/hybrid',
    ),
  )
    .argument('<preset>', `a config file (.json), or a preset: ${Object.keys(trainPresets).join(', ')}`)
    .requiredOption('--data <name>', 'a data set by name, its folder, or a pattern of .tar files')
    .requiredOption('--out <dir>', 'the run folder')
    .option('--epochs <n>', 'how often every image is seen', wholeNumber(1))
    .option('--batch <n>', 'images in a step', wholeNumber(1))
    .option('--lr <x>', 'the schedule’s peak learning rate', positiveNumber)
    .option('--limit <n>', 'only the first so many training images', wholeNumber(1))
    .option('--classes <list>', 'only these classes, in this order: so many of the first, or names between commas', classSelection)
    .option('--max-bad <n>', 'stop when more images than this cannot be read', wholeNumber(0))
    .option('--workers <n>', 'threads that decode and augment images; they change nothing but the time', wholeNumber(0))
    .option('--feature-cache <dir>', 'keep a frozen stem’s features there, for other runs too')
    .option('--stem <file>', 'the model whose weights a hybrid’s stem takes')
    .option('--no-cache-features', 'compute a frozen stem’s features anew for every batch')
    .option('--scale-lr <how>', 'with mpirun: linear multiplies the learning rate by the number of processes', oneOf('none', 'linear'))
    .option('--resume', 'go on with the run in --out')
    .action(async (preset: string, options: Options, command: Command) => {
      await inGroup(options, ioOf(options), (member) => trainIn(member, preset, options, command));
    });
}

async function trainIn({ group, io, threads }: Member, preset: string, options: Options, command: Command): Promise<void> {
  const dataset = await openDataset(options.data);
  const engine = await engineOf(options, io, threads);
  const { epochs, batch, lr, limit, classes, maxBad, scaleLr } = options;
  const overrides: Partial<TrainConfigInput> = {
    ...(epochs !== undefined && { epochs }),
    ...(batch !== undefined && { batch }),
    ...(lr !== undefined && { learningRate: lr }),
    ...(limit !== undefined && { limit }),
    ...(classes !== undefined && { classes: typeof classes === 'number' ? classes : [...classes] }),
    ...(maxBad !== undefined && { maxBad }),
    ...(scaleLr !== undefined && { scaleLearningRate: scaleLr }),
    ...(options.cacheFeatures === false && { cacheFeatures: false }),
    ...(command.getOptionValueSource('seed') === 'cli' && { seed: options.seed }),
  };
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    const run = await trainRun({
      ...options,
      preset,
      dataset,
      engine,
      io,
      group,
      signal: controller.signal,
      resume: options.resume === true,
      workers: options.workers,
      featureCacheFolder: options.featureCache,
      overrides,
    });
    const { step, totalSteps, seconds, finished, validation, bad, waiting } = run;
    io.result({ out: options.out, finished, step, totalSteps, seconds, validation, waiting, bad });
    if (bad.length > 0)
      io.say(`${bad.length} images could not be read:\n${bad.map(([file, reason]) => `  ${file}: ${reason}`).join('\n')}`);
    if (!finished) {
      const saved = step === 0 ? 'nothing trained yet' : `saved at step ${step} of ${totalSteps} after ${duration(seconds)}`;
      io.say(`interrupted, ${saved}; go on with: ${resumeLine(command, preset)}`);
      throw new Interrupted();
    }
    const accuracy = validation === undefined ? '' : `, validation accuracy ${(100 * validation.top1).toFixed(2)} %`;
    io.say(`finished: step ${step} of ${totalSteps}, ${duration(seconds)}${accuracy}`);
    io.say(`model: ${options.out}/last.safetensors`);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

/** The call that goes on: the same one, with its options. */
function resumeLine(command: Command, preset: string): string {
  const given = command.options.filter(
    (option) => option.attributeName() !== 'resume' && command.getOptionValueSource(option.attributeName()) === 'cli',
  );
  const words = given.flatMap((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    return typeof value === 'boolean' ? [option.long as string] : [option.long as string, quoted(String(value))];
  });
  return ['coda train', quoted(preset), ...words, '--resume'].join(' ');
}
