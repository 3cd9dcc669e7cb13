/** `coda sweep` */
import { openDataset } from '@coda-nets/train';
import type { Command } from 'commander';
import { textTable } from '../bench/text-table.ts';
import { defineCommand, engineOf, ioOf, nameList, wholeNumber } from '../define-command.ts';
import { Interrupted } from '../interrupted.ts';
import { interruptible } from '../interruptible.ts';
import { bytesText } from '../network-cost.ts';
import { presetList } from '../preset-list.ts';
import { duration } from '../progress.ts';
import { sweep, type SweepEntry } from '../sweep.ts';
import { trainPresets } from '../train-presets.ts';
import { callAgain, neededData, overridesOf, withTrainingOptions, type TrainingOptions } from '../training-options.ts';

interface Options extends TrainingOptions {
  readonly cuts?: readonly string[];
  readonly grids: number;
}

export function sweepCommand(): Command {
  const hybrids = Object.keys(trainPresets).filter((name) => name.startsWith('hybrid-'));
  const command = defineCommand(
    'sweep',
    'trains a hybrid with its cut at several depths, and compares accuracy and cost; called again, it goes on',
    'sweep hybrid-cifar10-resnet20 --cuts layer1,layer2,layer3 --data cifar10 --out runs/sweep',
  ).argument('<preset>', `a hybrid's training config (.json), or a preset: ${presetList(hybrids)}`);
  return withTrainingOptions(command, 'the folder of the runs, one for each cut, and of results.json and results.csv')
    .optionsGroup('Cuts:')
    .option('--cuts <list>', 'stages (layer3: after its last block) or taps, between commas (default: every stage)', nameList)
    .option('--grids <n>', 'also measure interpretable depth in so many grids of test images; 0: do not', wholeNumber(0), 0)
    .action(async (preset: string, options: Options, self: Command) => {
      const io = ioOf(options);
      const data = await neededData(options, preset, 'sweep');
      const dataset = await openDataset(data);
      const engine = await engineOf(options, io);
      const results = await interruptible((signal) =>
        sweep({
          ...options,
          preset,
          data,
          dataset,
          engine,
          io,
          signal,
          featureCacheFolder: options.featureCache,
          overrides: overridesOf(options, self),
        }),
      );
      if (results === undefined) {
        io.say(`interrupted; go on with: ${callAgain(self, preset)}`);
        throw new Interrupted();
      }
      io.result({ out: options.out, cuts: results });
      io.say('');
      for (const line of sweepTable(results)) io.say(line);
    });
}

function sweepTable(results: readonly SweepEntry[]): readonly string[] {
  const percent = (x: number | undefined): string => (x === undefined ? '–' : `${(100 * x).toFixed(2)} %`);
  return textTable(
    ['cut', 'validation', 'trained', 'frozen', 'multiply-adds', 'memory', 'time', 'depth'],
    results.map((one) => [
      one.cut,
      percent(one.validationAccuracy),
      one.trained.toLocaleString('en'),
      one.frozen.toLocaleString('en'),
      `${(one.multiplyAdds / 1e6).toFixed(1)} M`,
      bytesText(one.trainingMemory),
      one.seconds === undefined ? '–' : duration(one.seconds),
      one.interpretableDepth === undefined ? '–' : `${one.interpretableDepth.taps} of ${one.interpretableDepth.of}`,
    ]),
  );
}
