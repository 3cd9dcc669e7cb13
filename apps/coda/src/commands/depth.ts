/** `coda depth` */
import { Option, type Command } from 'commander';
import {
  defineCommand,
  engineOf,
  ioOf,
  nameList,
  oneOf,
  positiveNumber,
  usageError,
  wholeNumber,
  type CommonOptions,
} from '../define-command.ts';
import type { DepthResults } from '../depth/depth-results.ts';
import { codaCommand } from '../coda-command.ts';
import { valuesOf } from '../depth/depth-results.ts';
import { presetNames } from '../depth/named-method.ts';
import { runDepth } from '../depth/run-depth.ts';
import { referenceTap } from '../depth/depth-examples.ts';
import { inGroup, withShardOption, type Member, type ShardOptions } from '../in-group.ts';
import { Interrupted } from '../interrupted.ts';
import { quoted } from '../quoted.ts';

interface Options extends CommonOptions, ShardOptions {
  readonly data: string;
  readonly out: string;
  readonly methods?: readonly string[];
  readonly preset: (typeof presetNames)[number];
  readonly probeAt: readonly string[];
  readonly grids?: number;
  readonly cells?: number;
  readonly setting: 'whole' | 'difull';
  readonly removal?: number;
  readonly limit?: number;
  readonly threshold: number;
}

export function depthCommand(): Command {
  return withShardOption(
    defineCommand(
      'depth',
      'how deep the explanation holds: localisation at every tap, interpretable depth, methods compared on the same grids',
      'depth runs/demo/hybrid.safetensors --data cifar10 --grids 50 --removal 64 --out runs/depth',
    ),
  )
    .argument('<model...>', 'model files, compared on grids that all of them have right')
    .requiredOption('--data <name>', 'a data set by name, or its folder')
    .requiredOption('--out <dir>', 'folder of the report; an interrupted analysis goes on by the same call')
    .option('--methods <names>', 'between commas, or all of the preset (default: those that take one pass)', nameList)
    .option('--preset <name>', 'whose parameters and grids', oneOf(...presetNames), 'coda2021')
    .addOption(
      new Option('--probe-at <taps>', 'where methods that probe are measured: taps between commas, cut (the deepest exact tap) or all')
        .argParser(nameList)
        .default(['cut'], 'cut'),
    )
    .option('--grids <n>', 'the most grids (default: the preset’s, 500)', wholeNumber(1))
    .option('--cells <n>', 'cells along each side of a grid (default: the preset’s, 3)', wholeNumber(2))
    .option(
      '--setting <name>',
      'whole, or the control difull: every cell goes through the network alone',
      oneOf('whole', 'difull'),
      'whole',
    )
    .option('--removal <n>', 'test images for pixel removal; 0 leaves it out (default: the preset’s, 1024)', wholeNumber(0))
    .option('--limit <n>', 'grids are drawn from the first so many test images', wholeNumber(1))
    .option('--threshold <x>', 'the median localisation a tap must reach for interpretable depth', positiveNumber, 0.5)
    .action(async (models: string[], options: Options, command: Command) => {
      await inGroup(options, ioOf(options), (member) => depthIn(member, models, options, command));
    });
}

async function depthIn({ group, io, threads }: Member, models: string[], options: Options, command: Command): Promise<void> {
  if (options.methods?.length === 0) throw usageError('depth: --methods', 'no method is named', 'names between commas, or all');
  if (options.probeAt.length === 0) throw usageError('depth: --probe-at', 'no tap is named', 'names between commas, cut or all');
  const controller = new AbortController();
  const stop = (): void => {
    io.say('stopping at the next call of the network; Ctrl-C once more ends at once');
    controller.abort(new Interrupted());
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    const run = await runDepth({
      ...options,
      models,
      engine: await engineOf(options, io, threads),
      group,
      io,
      signal: controller.signal,
    });
    const { shard } = options;
    if (shard !== undefined)
      io.say(
        `share ${shard.index} of ${shard.count} is in ${options.out}/parts; when all are, the same call without --shard writes the report`,
      );
    if (run === undefined) return;
    const { results, files } = run;
    for (const line of summaryLines(results)) io.say(line);
    io.say(`report: ${options.out}/report.html`);
    io.result({ out: options.out, files, models: depths(results) });
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    io.say(`interrupted; what was finished is saved, go on with: ${sameLine(command, models)}`);
    throw error;
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

/** For each model its methods at the tap where it is cut, best first, and how deep each explains. */
function summaryLines({ models, scoring }: DepthResults): string[] {
  return models.flatMap(({ name, methods, taps }) => {
    const tap = referenceTap({ taps });
    const rows = methods.flatMap((method) => {
      const found = method.taps.find((one) => one.tap === tap);
      return found === undefined ? [] : [{ method, median: valuesOf(found, scoring).summary.median }];
    });
    return [
      `${name}, median localisation at ${tap}:`,
      ...rows
        .toSorted((a, b) => b.median - a.median)
        .map(({ method: { name: method, interpretableDepth: depth }, median }) => {
          const deep =
            depth === null
              ? ''
              : `  interpretable depth ${depth.taps} of ${depth.of} taps (${depth.interval.low} to ${depth.interval.high})`;
          return `  ${method.padEnd(16)}${median.toFixed(3)}${deep}`;
        }),
    ];
  });
}

function depths({ models }: DepthResults): object[] {
  return models.map(({ name, methods }) => ({
    name,
    methods: methods.map(({ name: method, interpretableDepth: depth }) => ({
      name: method,
      ...(depth !== null && { interpretableDepth: depth.taps, of: depth.of, interval: [depth.interval.low, depth.interval.high] }),
    })),
  }));
}

/** The call that goes on: the same one. */
function sameLine(command: Command, models: readonly string[]): string {
  const given = command.options.filter((option) => command.getOptionValueSource(option.attributeName()) === 'cli');
  const words = given.flatMap((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    return value === true ? [option.long as string] : [option.long as string, quoted(String(value))];
  });
  return [`${codaCommand()} depth`, ...models.map(quoted), ...words].join(' ');
}
