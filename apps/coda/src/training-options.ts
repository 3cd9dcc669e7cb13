/** The options that `train` and `sweep` share, in groups, and the keys of the config they set. */
import type { ClassSelection, TrainConfigInput } from '@coda-nets/train';
import type { Command } from 'commander';
import { classSelection } from './class-selection.ts';
import { oneOf, positiveNumber, wholeNumber, type CommonOptions } from './define-command.ts';
import { quoted } from './quoted.ts';

export interface TrainingOptions extends CommonOptions {
  readonly data: string;
  readonly out: string;
  readonly epochs?: number;
  readonly batch?: number;
  readonly lr?: number;
  readonly limit?: number;
  readonly classes?: ClassSelection;
  readonly size?: number;
  readonly maxBad?: number;
  readonly workers?: number;
  readonly featureCache?: string;
  readonly stem?: string;
  readonly cacheFeatures?: boolean;
  readonly explainEvery?: number;
  readonly explainImages?: number;
  readonly scaleLr?: 'none' | 'linear';
}

export function withTrainingOptions(command: Command, out: string): Command {
  return command
    .optionsGroup('What is trained:')
    .requiredOption('--data <name>', 'a data set by name, its folder, or a pattern of .tar files')
    .requiredOption('--out <dir>', out)
    .option('--stem <file>', 'the model whose weights a hybrid’s stem takes')
    .option('--size <n>', 'sides of the images, of presets for ImageNet (default: 224)', wholeNumber(32))
    .option('--classes <list>', 'only these classes, in this order: so many of the first, or names between commas', classSelection)
    .option('--limit <n>', 'only the first so many training images', wholeNumber(1))
    .optionsGroup('How (default: as the preset or config says):')
    .option('--epochs <n>', 'how often every image is seen', wholeNumber(1))
    .option('--batch <n>', 'images in a step', wholeNumber(1))
    .option('--lr <x>', 'the schedule’s peak learning rate', positiveNumber)
    .option('--scale-lr <how>', 'with mpirun: linear multiplies the learning rate by the number of processes', oneOf('none', 'linear'))
    .optionsGroup('Images and features:')
    .option('--workers <n>', 'threads that decode and augment images; they change nothing but the time', wholeNumber(0))
    .option('--max-bad <n>', 'stop when more images than this cannot be read', wholeNumber(0))
    .option('--feature-cache <dir>', 'keep a frozen stem’s features there, for other runs too')
    .option('--no-cache-features', 'compute a frozen stem’s features anew for every batch')
    .optionsGroup('Maps of the same images, in maps/, report.html and TensorBoard:')
    .option('--explain-every <n>', 'epochs from one set of contribution maps to the next; 0: none (default: 1)', wholeNumber(0))
    .option('--explain-images <n>', 'of how many images (default: 4)', wholeNumber(1));
}

export function overridesOf(options: TrainingOptions, command: Command): Partial<TrainConfigInput> {
  const { epochs, batch, lr, limit, classes, maxBad, explainEvery, explainImages } = options;
  return {
    ...(epochs !== undefined && { epochs }),
    ...(batch !== undefined && { batch }),
    ...(lr !== undefined && { learningRate: lr }),
    ...(limit !== undefined && { limit }),
    ...(classes !== undefined && { classes: typeof classes === 'number' ? classes : [...classes] }),
    ...(maxBad !== undefined && { maxBad }),
    ...(options.scaleLr !== undefined && { scaleLearningRate: options.scaleLr }),
    ...(explainEvery !== undefined && { explainEvery }),
    ...(explainImages !== undefined && { explainImages }),
    ...(options.cacheFeatures === false && { cacheFeatures: false }),
    ...(command.getOptionValueSource('seed') === 'cli' && { seed: options.seed }),
  };
}

/** The same call again, with its options but those named in `without`. */
export function callAgain(command: Command, preset: string, without: readonly string[] = []): string {
  const given = command.options.filter(
    (option) => !without.includes(option.attributeName()) && command.getOptionValueSource(option.attributeName()) === 'cli',
  );
  const words = given.flatMap((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    return typeof value === 'boolean' ? [option.long as string] : [option.long as string, quoted(String(value))];
  });
  return ['coda', command.name(), quoted(preset), ...words].join(' ');
}
