/** `coda evaluate` */
import { evaluate, openDataset, subset } from '@coda-nets/train';
import type { Command } from 'commander';
import { defineCommand, engineOf, ioOf, oneOf, wholeNumber, type CommonOptions } from '../define-command.ts';
import { checkDataset } from '../check-dataset.ts';
import { openModel } from '../open-model.ts';

interface Options extends CommonOptions {
  readonly data: string;
  readonly split: 'train' | 'test';
  readonly limit?: number;
}

export function evaluateCommand(): Command {
  return defineCommand('evaluate', 'loss, top-1, top-5, images a second', 'coda evaluate runs/demo/hybrid.safetensors --data cifar10')
    .argument('<model>', 'a model file')
    .requiredOption('--data <name>', 'a data set by name, or its folder')
    .option('--split <name>', 'train or test', oneOf('train', 'test'), 'test')
    .option('--limit <n>', 'only the first so many images', wholeNumber(1))
    .action(async (path: string, options: Options) => {
      const io = ioOf(options);
      const { network, model } = await openModel(path);
      const dataset = await openDataset(options.data);
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
      const result = await evaluate({ network, weights: model.weights, engine, split, onProgress: (done) => bar.update(done) }).finally(
        () => bar.stop(),
      );
      io.say(
        `${options.split} split, ${result.images} images: top-1 ${(100 * result.top1).toFixed(2)} %, top-5 ${(100 * result.top5).toFixed(2)} %, loss ${result.loss.toFixed(4)}, ${result.imagesPerSecond.toFixed(0)} images/s`,
      );
      io.result({ ...result, split: options.split, engine: engine.name });
    });
}
