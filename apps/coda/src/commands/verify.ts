/** `coda verify` */
import { ndArray, Random, type Engine, type NdArray } from '@coda-nets/core';
import { openOnnxFile, resolveEngine } from '@coda-nets/engine';
import type { ArrayInfo, ModelInfo } from '@coda-nets/onnx';
import { readOnnxInfo } from '@coda-nets/onnx/node';
import { loadBatch, openDataset } from '@coda-nets/train';
import type { Command } from 'commander';
import { defineCommand, ioOf, positiveNumber, wholeNumber, type CommonOptions } from '../define-command.ts';
import { describeNode, describeStep, describeTies, deviates } from '../deviation.ts';
import { exportedTaps, exportFunction, exportGraph, exportOptionsOf } from '../export-network.ts';
import { firstDifference, type FirstDifference } from '../first-difference.ts';
import { firstNodeDifference, firstStepDifference } from '../first-step.ts';
import { imageBatch } from '../image-batch.ts';
import { openModel, type OpenModel } from '../open-model.ts';
import { tfjsModelPath } from '../open-tfjs-model.ts';
import { poolTies, type OnnxFile } from '../pool-ties.ts';
import { BATCHES, MOST_IMAGES, verifyOnnx } from '../verify-onnx.ts';
import { verifyTfjsFile } from './verify-tfjs.ts';

/**
 * float32 in two orders of summation over networks of this depth, batch norms folded into convolutions on the one side: logits around 10 differ by a few
 * 1e-6. Ten times that for deeper ones, and again.
 */
export const VERIFY_TOLERANCE = 1e-4;

/** A block of a bottleneck network has fewer values. */
const SHOWN_VALUES = 12;

interface Options extends CommonOptions {
  readonly model: string;
  readonly data?: string;
  readonly limit: number;
  readonly tolerance: number;
}

export function verifyCommand(): Command {
  return defineCommand(
    'verify',
    'runs an ONNX file and its model, prints the largest deviation of logits and maps, fails above tolerance',
    'verify hybrid.onnx --model runs/demo/hybrid.safetensors --data cifar10',
  )
    .addHelpText(
      'after',
      `
Every output of the file is compared with eager TensorFlow.js on the same images, at batch 1, 3 and 64. A deviation is the largest |file − model| over all
entries of an output; of residuals it is divided by the model's where that is above 1, since that of a tap which is not exact has no bound. Both sides
compute in float32 and add in different orders, which costs a few 1e-6 here; ${VERIFY_TOLERANCE} leaves room for deeper networks. On
failure the first tap whose activation differs is named, the values of the file that may be at fault, and the first of them that is not what the model
is exported to now, or the first kernel of TensorFlow.js that ONNX Runtime computes otherwise.

Below a max pool a gradient goes to the largest value of each window, and of two that are equal but for rounding each side may take another. Where
only maps of taps below it that are not exact deviate, the model is run again from the file's values at the pool: where they are the model's to rounding
and every output then agrees, the file passes, and the windows are counted. Not looked for in a file with external data.

A model of TensorFlow.js (--model model.json) is run on random numbers, at batch 1, 3 and 64 and at three image sizes where the file leaves them open. Its
outputs have any scale, so a deviation is divided by the largest number of the output.`,
    )
    .argument('<file>', 'an ONNX file of `coda export`')
    .requiredOption('--model <file>', 'the model file it was made from, or model.json of a TensorFlow.js model')
    .option('--data <name>', 'take test images of this data set (default: random images)')
    .option('--limit <n>', `how many images, ${MOST_IMAGES} at most`, wholeNumber(1), 8)
    .option('--tolerance <x>', 'largest deviation that passes', positiveNumber, VERIFY_TOLERANCE)
    .action(async (path: string, options: Options) => {
      const tfjs = tfjsModelPath(options.model);
      if (tfjs !== undefined) return verifyTfjsFile(path, tfjs, options);
      const io = ioOf(options);
      const open = await openModel(options.model);
      const { engine } = await resolveEngine(options.engine ?? 'wasm');
      io.say(`file: ONNX Runtime; model: ${engine.name} (${engine.description})`);
      const images = await imagesFor(open.network.inputShape, options);
      const bar = io.progress('verify', (images.shape[0] as number) + BATCHES.reduce((sum, batch) => sum + batch, 0), 'images');
      const result = await verifyOnnx(await openOnnxFile(path), path, open, images, engine, (done) => bar.update(done)).finally(() =>
        bar.stop(),
      );
      io.say(`largest deviation over ${overImages(result.images)}, at batch 1, 3 and 64:`);
      io.say(`  logits ${result.logits.toExponential(2)}`);
      for (const [tap, d] of Object.entries(result.maps)) io.say(`  contributions at ${tap} ${d.toExponential(2)}`);
      if (result.probabilities !== undefined) io.say(`  probabilities ${result.probabilities.toExponential(2)}`);
      for (const [tap, d] of Object.entries(result.residuals ?? {})) io.say(`  residual at ${tap} ${d.toExponential(2)}`);
      const agrees = result.maxAbsDiff <= options.tolerance;
      const file = agrees ? undefined : await readOnnxInfo(path);
      const ties = file && (await poolTies(file, path, open, images, engine, result, options.tolerance));
      if (ties !== undefined) io.say(describeTies(ties));
      const passed = file === undefined || ties !== undefined;
      const { first, hint } = passed ? {} : await whereItParts(file, path, open, images, engine, options.tolerance);
      io.result({
        ...result,
        tolerance: options.tolerance,
        passed,
        ...(ties !== undefined && { poolTies: ties }),
        ...(first !== undefined && { firstDifference: first }),
      });
      if (!passed) throw deviates(path, options.tolerance, result.maxAbsDiff, hint);
      io.say(`passed: at most ${options.tolerance} was allowed`);
    });
}

/** Batches are filled with the same images again where there are fewer. */
function overImages(count: number): string {
  const images = count === 1 ? '1 image' : `${count} images`;
  return count < MOST_IMAGES ? `${images} (repeated where a batch has room for more)` : images;
}

async function whereItParts(
  { info, bytes }: OnnxFile,
  path: string,
  open: OpenModel,
  images: NdArray<'float32'>,
  engine: Engine,
  tolerance: number,
): Promise<{ readonly first?: FirstDifference | undefined; readonly hint: string }> {
  if (info.externalData.length > 0) return { hint: 'Where, is only looked for in files that have their weights inside.' };
  const [first, node] = [
    await firstDifference(bytes, path, open, images, engine, tolerance),
    await networkNode(bytes, path, info, open, images, engine, tolerance),
  ];
  const exactly = node === undefined ? '' : ` ${node}`;
  if (first === undefined)
    return { hint: `Every tap that the file names agrees: they part above the last, or on the way back to a map.${exactly}` };
  const { tap, deviation, agrees, between } = first;
  const shown = between.length > SHOWN_VALUES ? [...between.slice(0, SHOWN_VALUES), `${between.length - SHOWN_VALUES} more`] : between;
  const before = agrees === undefined ? '' : `${agrees} agrees; `;
  return {
    first,
    hint: `The first tap that differs is ${tap}, by ${deviation.toExponential(2)}: ${before}look at ${shown.join(', ')}.${exactly}`,
  };
}

/** The first kernel of the network that differs in ONNX Runtime, or the first value of the file that is not what the model is exported to now, in words. */
async function networkNode(
  bytes: Uint8Array,
  path: string,
  info: ModelInfo,
  { network, model }: OpenModel,
  images: NdArray<'float32'>,
  reference: Engine,
  tolerance: number,
): Promise<string | undefined> {
  const options = exportOptionsOf(info, network);
  const { fn, signature } = exportFunction(network, model, exportedTaps(network, options), options);
  const inputs = Object.fromEntries(
    Object.entries(signature.inputs).map(([name, { dtype, shape }]) => [
      name,
      { dtype, shape: shape.map((d) => (typeof d === 'string' ? 1 : d)) },
    ]),
  );
  const feeds: Record<string, NdArray> = { image: imageBatch(images, [0], info.inputs.find(({ name }) => name === 'image') as ArrayInfo) };
  if ('target' in inputs) feeds['target'] = ndArray('int64', [1], BigInt64Array.of(-1n));
  const step =
    reference.readsBetweenKernels === true
      ? await firstStepDifference(fn, { ...signature, inputs }, feeds, { reference, tolerance, trace: { convolutionsAsProducts: false } })
      : undefined;
  if (step !== undefined) return describeStep(step);
  const node = await firstNodeDifference(bytes, path, exportGraph(network, model, options), feeds, tolerance);
  return node === undefined ? undefined : `Beside what the model is exported to now, ${describeNode(node)}`;
}

async function imagesFor([height, width, channels]: readonly [number, number, number], options: Options): Promise<NdArray<'float32'>> {
  const limit = Math.min(options.limit, MOST_IMAGES);
  if (options.data !== undefined) {
    const test = (await openDataset(options.data)).split('test');
    const indices = Array.from({ length: Math.min(limit, test.length) }, (_, i) => i);
    return loadBatch(test, indices, { size: [height, width] });
  }
  const random = Random.seeded(options.seed).split('verify');
  const shape = [limit, height, width, channels];
  const data = Float32Array.from({ length: limit * height * width * channels }, () => random.below(256) / 255);
  return ndArray('float32', shape, data);
}
