/** `coda verify` of a model of TensorFlow.js. */
import { CodaError, type ArraySpec, type Engine } from '@coda-nets/core';
import { openOnnxFile, resolveEngine } from '@coda-nets/engine';
import { readOnnxInfo } from '@coda-nets/onnx/node';
import type { CommandIo } from '../command-io.ts';
import { ioOf, usageError, type CommonOptions } from '../define-command.ts';
import { describeNode, describeStep, deviates } from '../deviation.ts';
import { exportTfjsModel } from '../export-tfjs-model.ts';
import { firstNodeDifference, firstStepDifference, type NodeDifference, type StepDifference } from '../first-step.ts';
import { openTfjsModel, type OpenTfjsModel } from '../open-tfjs-model.ts';
import { randomInputs, sizedInputs, verifyTfjs, type TfjsVerification } from '../verify-tfjs.ts';

interface Options extends CommonOptions {
  readonly data?: string;
  readonly tolerance: number;
}

export async function verifyTfjsFile(path: string, modelPath: string, options: Options): Promise<void> {
  if (options.data !== undefined) throw usageError('verify: --data', 'a model of TensorFlow.js is compared on random numbers');
  const io = ioOf(options);
  const file = await openOnnxFile(path);
  // the sizes that the file was made for
  const shapes = Object.fromEntries(file.inputs.map(({ name, shape }) => [name, shape as ArraySpec['shape']]));
  const model = await openTfjsModel(modelPath, { shapes }).catch(async (error: unknown) => {
    await file.dispose();
    throw CodaError.isInstance(error) && error.kind === 'argument' ? error.within(path) : error;
  });
  const { engine, result } = await verified(path, model, file, options, io);
  io.say(
    `largest deviation at inputs of ${result.shapes.map((shape) => `[${shape.join(', ')}]`).join(', ')}, relative to the largest number of each output:`,
  );
  for (const [name, d] of Object.entries(result.outputs)) io.say(`  ${name} ${d.toExponential(2)}`);
  const passed = result.maxRelDiff <= options.tolerance;
  const { first, hint } = passed ? {} : await whereItParts(path, model, engine, options);
  io.result({ ...result, tolerance: options.tolerance, passed, ...(first !== undefined && { firstDifference: first }) });
  if (!passed) throw deviates(path, options.tolerance, result.maxRelDiff, hint);
  io.say(`passed: at most ${options.tolerance} was allowed`);
}

/** WebAssembly has not every kernel: where nobody asked for it, plain JavaScript takes over. */
async function verified(
  path: string,
  model: OpenTfjsModel,
  file: Awaited<ReturnType<typeof openOnnxFile>>,
  options: Options,
  io: CommandIo,
): Promise<{ readonly engine: Engine; readonly result: TfjsVerification }> {
  const { engine } = await resolveEngine(options.engine ?? 'wasm');
  if (engine.name === 'onnxruntime' || engine.name === 'webgpu') {
    await file.dispose();
    throw usageError('verify: --engine', `${engine.name} runs graphs, as the file does`, 'wasm, cpu, tensorflow or tfjs-webgpu');
  }
  const said = (name: string): void => io.say(`file: ONNX Runtime; model: ${name}`);
  said(`${engine.name} (${engine.description})`);
  try {
    return { engine, result: await verifyTfjs(file, path, model, engine, options.seed) };
  } catch (error) {
    const missing = error instanceof Error ? /Kernel '(\w+)' not registered/.exec(error.message)?.[1] : undefined;
    if (missing === undefined) throw error;
    if (options.engine !== undefined) {
      throw new CodaError({
        kind: 'unavailable',
        where: `engine ${engine.name}`,
        problem: `it has no ${missing}`,
        hint: 'Take --engine cpu.',
        cause: error,
      });
    }
    const { engine: plain } = await resolveEngine('cpu');
    said(`cpu, since wasm has no ${missing}`);
    return { engine: plain, result: await verifyTfjs(await openOnnxFile(path), path, model, plain, options.seed) };
  }
}

async function whereItParts(
  path: string,
  model: OpenTfjsModel,
  reference: Engine,
  { seed, tolerance }: Options,
): Promise<{ readonly first?: StepDifference | NodeDifference; readonly hint: string }> {
  const { bytes, info } = await readOnnxInfo(path);
  if (info.externalData.length > 0) return { hint: 'Where, is only looked for in files that have their weights inside.' };
  const inputs = sizedInputs(model.signature.inputs, 0) as NonNullable<ReturnType<typeof sizedInputs>>;
  const feeds = randomInputs(inputs, seed);
  const trace = { names: model.names, convolutionsAsProducts: false };
  const step =
    reference.readsBetweenKernels === true
      ? await firstStepDifference(model.fn, { inputs }, feeds, { reference, tolerance, trace })
      : undefined;
  if (step !== undefined) return { first: step, hint: describeStep(step) };
  const node = await firstNodeDifference(bytes, path, exportTfjsModel(model, { opset: info.opset }), feeds, tolerance);
  const agrees = 'Every kernel of the model gives in ONNX Runtime what it gives in TensorFlow.js';
  if (node === undefined)
    return { hint: `${agrees}, and the file what the model is exported to now, on these numbers: the difference lies in larger ones.` };
  return { first: node, hint: `${agrees}, so the file is not the model's: ${describeNode(node)}` };
}
