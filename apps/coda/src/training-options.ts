/** The options that `train` and `sweep` share, in groups, and the keys of the config they set. */
import { datasetNames, type ClassSelection, type TrainConfigInput } from '@coda-nets/train';
import type { Command } from 'commander';
import { classSelection } from './class-selection.ts';
import { codaCommand } from './coda-command.ts';
import { oneOf, positiveNumber, usageError, wholeNumber, type CommonOptions } from './define-command.ts';
import { isConfigFile, readConfig } from './read-json.ts';
import { quoted } from './quoted.ts';

export interface TrainingOptions extends CommonOptions {
  readonly data?: string;
  readonly out: string;
  readonly epochs?: number;
  readonly batch?: number;
  readonly lr?: number;
  readonly limit?: number;
  readonly validationLimit?: number;
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
    .option('--data <name>', 'a data set by name, its folder, or a pattern of .tar files (default: as the config says)')
    .requiredOption('--out <dir>', out)
    .option('--stem <file>', 'the model whose weights a hybrid’s stem takes')
    .option('--size <n>', 'sides of the images, of presets for ImageNet (default: 224)', wholeNumber(32))
    .option('--classes <list>', 'only these classes, in this order: so many of the first, or names between commas', classSelection)
    .option('--limit <n>', 'only so many training images, evenly spread', wholeNumber(1))
    .option('--validation-limit <n>', 'only so many images of a test split that is validated on, evenly spread', wholeNumber(1))
    .optionsGroup('How (default: as the preset or config says):')
    .option('--epochs <n>', 'how often every image is seen', wholeNumber(1))
    .option('--batch <n>', 'images in a step', wholeNumber(1))
    .option('--lr <x>', 'the schedule’s peak learning rate', positiveNumber)
    .option('--scale-lr <how>', 'with mpirun: linear multiplies the learning rate by the number of processes', oneOf('none', 'linear'))
    .optionsGroup('Images and features:')
    .option('--workers <n>', 'threads that decode and augment images; they change nothing but the time', wholeNumber(0))
    .option('--max-bad <n>', 'stop when more images than this cannot be read', wholeNumber(0))
    .option('--feature-cache <dir>', 'keep a frozen stem’s features there, for other runs too; of a config with cacheFeatures')
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

/** What `--data` says, or else the config file. Throws a CodaError where neither does. */
export async function neededData({ data }: TrainingOptions, preset: string | undefined, command: string): Promise<string> {
  if (data !== undefined) return data;
  const { data: named } = preset !== undefined && isConfigFile(preset) ? await readConfig(preset) : {};
  if (typeof named === 'string') return named;
  throw usageError(`${command}: --data`, 'is missing', `a data set: ${datasetNames.join(', ')}, a folder, or a pattern of .tar files`);
}

/** What a run folder does not keep, because it belongs to the machine or to the call. */
const ofTheCall: ReadonlySet<string> = new Set(['json', 'engine', 'workers', 'featureCache', 'threads', 'distributed']);

/** The call that goes on with an interrupted run: the run folder keeps all else. */
export function resumeCall(command: Command, out: string): string {
  return `${codaCommand()} train --resume --out ${quoted(out)}${optionsOf(command, (name) => ofTheCall.has(name))}`;
}

/** The same call again, with its options. */
export function callAgain(command: Command, preset: string): string {
  return `${codaCommand()} ${command.name()} ${quoted(preset)}${optionsOf(command, () => true)}`;
}

/** The options that were given and are wanted, each with a space before it. */
function optionsOf(command: Command, isWanted: (name: string) => boolean): string {
  const given = command.options.filter(
    (option) => isWanted(option.attributeName()) && command.getOptionValueSource(option.attributeName()) === 'cli',
  );
  const words = given.flatMap((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    return typeof value === 'boolean' ? [option.long as string] : [option.long as string, quoted(String(value))];
  });
  return words.map((word) => ` ${word}`).join('');
}
