/** `coda evaluate` */
import { batchMaker, defaultWorkers, evaluate, openDataset, selectClasses, subset, type ClassSelection } from '@coda-nets/train';
import type { Command } from 'commander';
import { defineCommand, engineOf, ioOf, oneOf, wholeNumber, type CommonOptions } from '../define-command.ts';
import { checkDataset } from '../check-dataset.ts';
import { classSelection } from '../class-selection.ts';
import { openModel } from '../open-model.ts';

interface Options extends CommonOptions {
  readonly data: string;
  readonly split: 'train' | 'test';
  readonly limit?: number;
  readonly classes?: ClassSelection;
  readonly workers?: number;
}

export function evaluateCommand(): Command {
  return defineCommand('evaluate', 'loss, top-1, top-5, images a second', 'coda evaluate runs/demo/hybrid.safetensors --data cifar10')
    .argument('<model>', 'a model file')
    .requiredOption('--data <name>', 'a data set by name, or its folder')
    .option('--split <name>', 'train or test', oneOf('train', 'test'), 'test')
    .option('--limit <n>', 'only the first so many images', wholeNumber(1))
    .option('--classes <list>', 'only these classes, in this order: so many of the first, or names between commas', classSelection)
    .option('--workers <n>', 'threads that decode images', wholeNumber(0))
    .action(async (path: string, options: Options) => {
      const io = ioOf(options);
      const { network, model } = await openModel(path);
      const whole = await openDataset(options.data);
      const dataset = options.classes === undefined ? whole : selectClasses(whole, options.classes);
      checkDataset(dataset, network, options.data);
      const all = dataset.split(options.split);
      const limit = Math.min(options.limit ?? all.length, all.length);
      const split =
        limit < all.length
          ? subset(
              all,
              Array.from({ length: limit }, (_, i) => i),
            )
          : all;
      const engine = await engineOf(options, io);
      const bar = io.progress('evaluate', split.length, 'images');
      const maker = batchMaker(options.workers ?? (split.kind === 'files' ? defaultWorkers() : 0));
      const { resize } = model.preprocessing;
      const result = await evaluate({
        network,
        weights: model.weights,
        engine,
        split,
        resize,
        maker,
        onProgress: (done) => bar.update(done),
      }).finally(() => bar.stop());
      await maker.dispose();
      for (const { file, reason } of result.bad) io.say(`left out: ${file}: ${reason}`);
      io.say(
        `${options.split} split, ${result.images} images: top-1 ${(100 * result.top1).toFixed(2)} %, top-5 ${(100 * result.top5).toFixed(2)} %, loss ${result.loss.toFixed(4)}, ${result.imagesPerSecond.toFixed(0)} images/s`,
      );
      io.result({ ...result, split: options.split, engine: engine.name });
    });
}
