/**
 * The ImageNet-shaped run: makes a tree of JPEGs, trains a ResNet-50 stem with a CoDA head on it twice, once killed and resumed, and says how it went.
 *
 *     node apps/coda/dist/crash-run/main.js --out DIR     # --help for the rest
 */
import { cifar10ClassNames, dataFolder, openCifar10, syntheticDataset, type PixelDataset } from '@coda-nets/train';
import { Command } from 'commander';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ImagenetHybridName } from '@coda-nets/hybrid';
import { reportError } from '../cli.ts';
import { commandIo } from '../command-io.ts';
import { wholeNumber } from '../define-command.ts';
import { imagenetTraining } from '../imagenet-training.ts';
import { bytesText } from '../network-cost.ts';
import { crashRun } from './crash-run.ts';
import { writeJpegTree } from './jpeg-tree.ts';

interface Options {
  readonly out: string;
  readonly preset: string;
  readonly classes: number;
  readonly perClass: number;
  readonly size: number;
  readonly batch: number;
  readonly epochs: number;
  readonly kills: number;
  readonly seed: number;
}

const io = commandIo(false);
const command = new Command('crash-run')
  .description('Trains an ImageNet-shaped hybrid twice, once killed with SIGKILL at random moments and resumed, and compares the two.')
  .requiredOption('--out <dir>', 'an empty folder for data and runs')
  .option('--preset <name>', 'a preset for ImageNet without "hybrid-"; its stem is trained from scratch', 'resnet50-layer3-coda4')
  .option('--classes <n>', 'folders', wholeNumber(2), 20)
  .option('--per-class <n>', 'training images of each', wholeNumber(1), 105)
  .option('--size <n>', 'sides of the network’s images', wholeNumber(32), 224)
  .option('--batch <n>', 'images in a step', wholeNumber(1), 16)
  .option('--epochs <n>', 'how often every image is seen', wholeNumber(1), 2)
  .option('--kills <n>', 'how often the second run is killed', wholeNumber(0), 3)
  .option('--seed <n>', 'seed of images, training and moments', wholeNumber(0), 0)
  .action(async (options: Options) => {
    const { out, classes, perClass, size, batch, epochs, kills, seed } = options;
    const data = join(out, 'data');
    await mkdir(out, { recursive: true });
    if (!existsSync(join(out, 'data.json'))) {
      const { source, name } = await sourceImages(classes, perClass, seed);
      const bar = io.progress('JPEGs', classes * (perClass + 5), 'images');
      await writeJpegTree(data, source, { classes, perClass, testPerClass: 5, seed, onProgress: (done) => bar.update(done) });
      bar.stop();
      await writeFile(join(out, 'data.json'), JSON.stringify({ made: name, classes, perClass, seed }));
      io.say(`${classes * perClass} JPEGs of 300 to 500 pixels a side, made of ${name}`);
    }
    const recipe = imagenetTraining(options.preset as ImagenetHybridName, {
      classes,
      trainImages: classes * perClass,
      size,
      epochs,
      batch,
    });
    const config = join(out, 'config.json');
    const network = { ...recipe.network, stem: 'trained' };
    await writeFile(config, JSON.stringify({ ...recipe, network, seed, logEverySteps: 1, checkpointEverySteps: 10 }, undefined, 2));
    const result = await crashRun({
      command: [process.execPath, ...process.execArgv, fileURLToPath(new URL('../main.js', import.meta.url))],
      config,
      data,
      out,
      kills,
      seed,
      say: io.say,
    });
    await writeFile(join(out, 'results.json'), `${JSON.stringify({ options, node: process.version, ...result }, undefined, 2)}\n`);
    io.say(`same weights: ${result.sameWeights}; same losses and accuracies: ${result.sameMetrics}`);
    io.say(`loss: ${result.loss.first.toFixed(4)} → ${result.loss.last.toFixed(4)}`);
    io.say(`resident memory, the most in each quarter: ${result.memoryByQuarter.map(bytesText).join(', ')}`);
    if (!result.sameWeights || !result.sameMetrics || !(result.loss.last < result.loss.first)) process.exitCode = 1;
  });

/** CIFAR-10 where `coda data fetch cifar10` has brought it, else made-up images. */
async function sourceImages(classes: number, perClass: number, seed: number): Promise<{ source: PixelDataset; name: string }> {
  const folder = dataFolder('cifar10');
  if (existsSync(folder) && classes <= 2 * cifar10ClassNames.length) return { source: await openCifar10(folder), name: 'CIFAR-10' };
  return { source: syntheticDataset({ classes, perClass, testPerClass: 5, seed }), name: 'synthetic images' };
}

try {
  await command.parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}
