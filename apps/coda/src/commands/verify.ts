/** `coda verify` */
import { CodaError, ndArray, Random, type NdArray } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { resolveEngine } from '@coda-nets/engine';
import { loadBatch, openDataset } from '@coda-nets/train';
import type { Command } from 'commander';
import { defineCommand, ioOf, positiveNumber, wholeNumber, type CommonOptions } from '../define-command.ts';
import { openModel } from '../open-model.ts';
import { MOST_IMAGES, verifyOnnx } from '../verify-onnx.ts';

/** protobuf's own limit of a file. */
const MAX_ONNX_BYTES = 2 ** 31 - 1;
/** float32 in two orders of summation over networks of this depth (evaluation of exported graphs). */
export const VERIFY_TOLERANCE = 1e-4;

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
    'coda verify hybrid.onnx --model runs/demo/hybrid.safetensors --data cifar10',
  )
    .argument('<file>', 'an ONNX file of `coda export`')
    .requiredOption('--model <file>', 'the model file it was made from')
    .option('--data <name>', 'take test images of this data set (default: random images)')
    .option('--limit <n>', `how many images, ${MOST_IMAGES} at most`, wholeNumber(1), 8)
    .option('--tolerance <x>', 'largest deviation that passes', positiveNumber, VERIFY_TOLERANCE)
    .action(async (path: string, options: Options) => {
      const io = ioOf(options);
      const open = await openModel(options.model);
      const bytes = await readFileBytes(path, { maxBytes: MAX_ONNX_BYTES });
      const { engine } = await resolveEngine(options.engine ?? 'wasm');
      io.say(`file: ONNX Runtime; model: ${engine.name} (${engine.description})`);
      const images = await imagesFor(open.network.inputShape, options);
      const result = await verifyOnnx(bytes, path, open, images, engine);
      io.say(`largest deviation over ${result.images} images at batch 1, 3 and 64:`);
      io.say(`  logits ${result.logits.toExponential(2)}`);
      for (const [tap, d] of Object.entries(result.maps)) io.say(`  contributions at ${tap} ${d.toExponential(2)}`);
      io.result({ ...result, tolerance: options.tolerance, passed: result.maxAbsDiff <= options.tolerance });
      if (result.maxAbsDiff > options.tolerance) {
        throw new CodaError({
          kind: 'numeric',
          where: path,
          problem: 'the file deviates from its model',
          expected: `at most ${options.tolerance}`,
          got: result.maxAbsDiff.toExponential(2),
        });
      }
      io.say(`passed: at most ${options.tolerance} was allowed`);
    });
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
