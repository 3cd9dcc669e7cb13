/**
 * The ImageNet-shaped run: makes a tree of JPEGs, trains a CoDA head on a ResNet-50 stem twice, once killed and resumed, and says how it went.
 *
 *     node apps/coda/dist/crash-run/main.js --out DIR     # --help for the rest
 */
import { Random } from '@coda-nets/core';
import {
  cifar10ClassNames,
  dataFolder,
  loadBatch,
  openCifar10,
  openDataset,
  parseTrainConfig,
  syntheticDataset,
  type PixelDataset,
  type TrainConfigInput,
} from '@coda-nets/train';
import { parseHybridConfig } from '@coda-nets/hybrid';
import { resolveEngine } from '@coda-nets/engine';
import { Command, InvalidArgumentError } from 'commander';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reportError } from '../cli.ts';
import { commandIo } from '../command-io.ts';
import { wholeNumber } from '../define-command.ts';
import { interruptible } from '../interruptible.ts';
import { bytesText } from '../network-cost.ts';
import { trainPresets } from '../train-presets.ts';
import { crashRun } from './crash-run.ts';
import { writeJpegTree } from './jpeg-tree.ts';
import { writeSeededStem } from './seeded-stem.ts';

interface Options {
  readonly out: string;
  readonly preset: string;
  readonly stem?: string;
  readonly trainStem?: true;
  readonly cacheFeatures?: true;
  readonly classes: number;
  readonly perClass: number;
  readonly size: number;
  readonly batch: number;
  readonly epochs: number;
  readonly kills: number;
  readonly seed: number;
}

/** Validation images of each class. */
const testPerClass = 5;
/** Of the training images, spread evenly: the running statistics of a stem nobody trained are theirs. */
const statisticImages = 64;

const fittedPresets = Object.keys(trainPresets).filter((name) => trainPresets[name]?.fitted !== undefined);
const io = commandIo(false);
const command = new Command('crash-run')
  .description(
    'Trains an ImageNet-shaped hybrid twice, once killed with SIGKILL at random moments and resumed, and compares the two. Called again, it goes on.',
  )
  .requiredOption('--out <dir>', 'a folder of its own for data and runs')
  .option('--preset <name>', 'a preset for ImageNet', fittedPreset, 'hybrid-resnet50-layer3-coda4')
  .option('--stem <file>', 'a model of the backbone, such as `coda import --format torchvision` makes (default: weights drawn by the seed)')
  .option('--train-stem', 'trains the stem too, from scratch: many times as long')
  .option('--cache-features', 'computes the stem’s features of one drawn copy of each image, once for both runs')
  .option('--classes <n>', 'folders', wholeNumber(2), 20)
  .option('--per-class <n>', 'training images of each', wholeNumber(1), 105)
  .option('--size <n>', 'sides of the network’s images', wholeNumber(32), 224)
  .option('--batch <n>', 'images in a step', wholeNumber(1), 16)
  .option('--epochs <n>', 'how often every image is seen', wholeNumber(1), 2)
  .option('--kills <n>', 'how often the second run is killed', wholeNumber(0), 3)
  .option('--seed <n>', 'seed of images, weights, training and moments', wholeNumber(0), 0)
  .action(async (options: Options) => {
    const { out, preset, classes, perClass, size, batch, epochs, kills, seed } = options;
    await mkdir(out, { recursive: true });
    const data = await jpegs(options);
    const recipe = trainPresets[preset]?.fitted?.({ classes, trainImages: classes * perClass, size, epochs, batch });
    if (recipe === undefined) throw new Error(`${preset} is no preset for ImageNet`);
    const network = { ...recipe.network, stem: options.trainStem === true ? 'trained' : 'frozen' };
    const stem = options.trainStem === true ? undefined : (options.stem ?? (await seededStem(options, data, { ...recipe, network })));
    const kept = options.cacheFeatures === true;
    const config = join(out, 'config.json');
    const changed = { network, seed, logEverySteps: 1, checkpointEverySteps: 10, ...(kept && { cacheFeatures: true, featureCopies: 1 }) };
    await writeFile(config, JSON.stringify({ ...recipe, ...changed }, undefined, 2));
    const result = await interruptible((signal) =>
      crashRun({
        command: [process.execPath, ...process.execArgv, fileURLToPath(new URL('../main.js', import.meta.url))],
        config,
        data,
        out,
        kills,
        seed,
        more: [...(stem === undefined ? [] : ['--stem', stem]), ...(kept ? ['--feature-cache', join(out, 'features')] : [])],
        say: io.say,
        signal,
      }),
    );
    const { sameWeights, sameMetrics, loss, memoryByQuarter, isMemoryFlat } = result;
    await writeFile(join(out, 'results.json'), `${JSON.stringify({ options, node: process.version, ...result }, undefined, 2)}\n`);
    io.say(`same weights: ${sameWeights}; same losses and accuracies: ${sameMetrics}`);
    io.say(`loss: ${loss.first.toFixed(4)} → ${loss.last.toFixed(4)}`);
    io.say(
      `resident memory, the most in each quarter: ${memoryByQuarter.map(bytesText).join(', ')}; flat: ${isMemoryFlat ?? 'not measured'}`,
    );
    if (!sameWeights || !sameMetrics || isMemoryFlat === false || !(loss.last < loss.first)) process.exitCode = 1;
  });

function fittedPreset(name: string): string {
  if (fittedPresets.includes(name)) return name;
  throw new InvalidArgumentError(`Expected ${fittedPresets.join(', ')}.`);
}

/** The folder of the images, which are made once. */
async function jpegs({ out, classes, perClass, seed }: Options): Promise<string> {
  const folder = join(out, 'data');
  const done = join(out, 'data.json');
  if (existsSync(done)) return folder;
  const { source, name } = await sourceImages(classes, perClass, seed);
  const bar = io.progress('JPEGs', classes * (perClass + testPerClass), 'images');
  await writeJpegTree(folder, source, { classes, perClass, testPerClass, seed, onProgress: (made) => bar.update(made) });
  bar.stop();
  await writeFile(done, JSON.stringify({ made: name, classes, perClass, seed }));
  io.say(`${classes * perClass} JPEGs of 300 to 500 pixels a side, made of ${name}`);
  return folder;
}

/** CIFAR-10 where `coda data fetch cifar10` has brought it, else made-up images. */
async function sourceImages(classes: number, perClass: number, seed: number): Promise<{ source: PixelDataset; name: string }> {
  const folder = dataFolder('cifar10');
  if (existsSync(folder) && classes <= 2 * cifar10ClassNames.length) return { source: await openCifar10(folder), name: 'CIFAR-10' };
  return { source: syntheticDataset({ classes, perClass, testPerClass, seed }), name: 'synthetic images' };
}

async function seededStem({ out, seed, size }: Options, data: string, recipe: TrainConfigInput): Promise<string> {
  const path = join(out, 'stem.safetensors');
  if (existsSync(path)) return path;
  const split = (await openDataset(data)).split('train');
  const count = Math.min(statisticImages, split.length);
  const places = Array.from({ length: count }, (_, i) => Math.floor((i * split.length) / count));
  const { resize, augmentation } = parseTrainConfig(recipe);
  // as training draws them: what a policy does to an image moves the statistics of every layer
  const images = await loadBatch(split, places, { size: [size, size], resize, augmentation }, Random.seeded(seed).split('statistics'));
  const { engine } = await resolveEngine();
  await writeSeededStem(path, { backbone: parseHybridConfig(recipe.network).backbone, images, engine, seed });
  io.say(`${path}: a stem of drawn weights`);
  return path;
}

try {
  await command.parseAsync();
} catch (error) {
  const isEnded = error instanceof Error && error.name === 'AbortError';
  if (isEnded) io.say('ended from outside; the same call goes on');
  process.exitCode = isEnded ? 1 : reportError(error);
}
