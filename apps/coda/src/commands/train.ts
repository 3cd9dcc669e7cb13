/** `coda train` */
import { openDataset, type TrainConfigInput } from '@coda-nets/train';
import type { Command } from 'commander';
import { defineCommand, engineOf, ioOf, positiveNumber, wholeNumber, type CommonOptions } from '../define-command.ts';
import { duration } from '../progress.ts';
import { trainPresets } from '../train-presets.ts';
import { trainRun } from '../train-run.ts';

interface Options extends CommonOptions {
  readonly data: string;
  readonly out: string;
  readonly epochs?: number;
  readonly batch?: number;
  readonly lr?: number;
  readonly limit?: number;
  readonly stem?: string;
  readonly cacheFeatures?: boolean;
  readonly resume?: true;
}

export function trainCommand(): Command {
  return defineCommand('train', 'trains a network in a run folder; an interrupted run goes on with --resume', 'coda train hybrid-cifar10-resnet20 --data cifar10 --out runs/hybrid')
    .argument('<preset>', `a config file (.json), or a preset: ${Object.keys(trainPresets).join(', ')}`)
    .requiredOption('--data <name>', 'a data set by name, or its folder')
    .requiredOption('--out <dir>', 'the run folder')
    .option('--epochs <n>', 'how often every image is seen', wholeNumber(1))
    .option('--batch <n>', 'images in a step', wholeNumber(1))
    .option('--lr <x>', 'the schedule’s peak learning rate', positiveNumber)
    .option('--limit <n>', 'only the first so many training images', wholeNumber(1))
    .option('--stem <file>', 'the model whose weights a hybrid’s stem takes')
    .option('--no-cache-features', 'compute a frozen stem’s features anew for every batch')
    .option('--resume', 'go on with the run in --out')
    .action(async (preset: string, options: Options, command: Command) => {
      const io = ioOf(options);
      const dataset = await openDataset(options.data);
      const engine = await engineOf(options, io);
      const { epochs, batch, lr, limit } = options;
      const overrides: Partial<TrainConfigInput> = {
        ...(epochs !== undefined && { epochs }),
        ...(batch !== undefined && { batch }),
        ...(lr !== undefined && { learningRate: lr }),
        ...(limit !== undefined && { limit }),
        ...(options.cacheFeatures === false && { cacheFeatures: false }),
        ...(command.getOptionValueSource('seed') === 'cli' && { seed: options.seed }),
      };
      const controller = new AbortController();
      const stop = (): void => controller.abort();
      process.once('SIGINT', stop);
      process.once('SIGTERM', stop);
      try {
        const run = await trainRun({ ...options, preset, dataset, engine, io, signal: controller.signal, resume: options.resume === true, overrides });
        const accuracy = run.validation === undefined ? '' : `, validation accuracy ${(100 * run.validation.top1).toFixed(2)} %`;
        io.say(`${run.finished ? 'finished' : 'interrupted, saved'}: step ${run.step} of ${run.totalSteps}, ${duration(run.seconds)}${accuracy}`);
        io.say(run.finished ? `model: ${options.out}/last.safetensors` : `go on with: coda train ${preset} --data ${options.data} --out ${options.out} --resume`);
        io.result({ out: options.out, finished: run.finished, step: run.step, totalSteps: run.totalSteps, seconds: run.seconds, validation: run.validation });
        if (!run.finished) process.exitCode = 1;
      } finally {
        process.off('SIGINT', stop);
        process.off('SIGTERM', stop);
      }
    });
}
