/**
 * The whole thread on real data: fetches CIFAR-10, trains a hybrid on a frozen stem, evaluates it, explains twelve test images at every tap, exports
 * classifier and explanation as one ONNX file, verifies that in ONNX Runtime, and writes a report. Everything in one folder:
 * `report.html`, `metrics.json`, `hybrid.safetensors`, `hybrid.onnx`, `images/` (the twelve as they went in), `explanations/`, and the
 * files of the training run. A finished demo is left as it is; an interrupted one goes on.
 */
import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { CodaError, type NdArray } from '@coda-nets/core';
import { readModel, writeFileAtomic, writeModel } from '@coda-nets/core/node';
import { encodePng, explainer, pictureOf, strip, type Explanation } from '@coda-nets/depth';
import { openOnnxFile, resolveEngine } from '@coda-nets/engine';
import { evaluate, loadBatch, openDataset, storedConfig, type ImageSplit } from '@coda-nets/train';
import { Command, CommanderError } from 'commander';
import { existsSync } from 'node:fs';
import { reportError, type ExitCode } from './cli.ts';
import { commandIo, type CommandIo } from './command-io.ts';
import { fetchWithProgress } from './commands/data.ts';
import { VERIFY_TOLERANCE } from './commands/verify.ts';
import { anewLine, DEFAULT_OUT, demoLine, figureLines, whereToLook } from './demo-lines.ts';
import { exportNetwork } from './export-network.ts';
import { Interrupted } from './interrupted.ts';
import { interruptible } from './interruptible.ts';
import { openModel, type OpenModel } from './open-model.ts';
import { duration } from './progress.ts';
import { projectVersion } from './project-version.ts';
import { readJson } from './read-json.ts';
import { readMetrics } from './report/read-metrics.ts';
import { renderReport } from './report/render-report.ts';
import { forgetRun, isFinished, trainRun, type TrainRun } from './train-run.ts';
import { verifyOnnx } from './verify-onnx.ts';
import { imageOf } from './write-explanations.ts';

/** The first images of the test split, not the prettiest. */
const EXPLAINED = 12;
const PRESET = 'hybrid-cifar10-resnet20';
/** What float32 leaves of an exact sum: Σ contributions = z − b₀ (arXiv 2109.13004, section 3). */
const MAX_RESIDUAL = 1e-5;

interface DemoOptions {
  readonly out: string;
  readonly again?: true;
}

/** Runs a command line without the two leading words of `process.argv`. Never throws. */
export async function runDemo(args: readonly string[]): Promise<ExitCode> {
  const command = new Command('npm run demo --')
    .description(
      'Fetches CIFAR-10, trains a hybrid, explains it, exports and verifies ONNX, writes a report. Goes on where it was interrupted.',
    )
    .option('--out <dir>', 'the folder of all that it writes', DEFAULT_OUT)
    .option('--again', 'train anew where the folder holds a demo already')
    .showHelpAfterError('(add --help for the options)')
    .exitOverride()
    .action(async (options: DemoOptions) => {
      const io = commandIo(false);
      if (options.again !== true && (await tellFinished(options.out, io))) return;
      await demo(options, io);
    });
  try {
    await command.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return error instanceof Interrupted ? 1 : reportError(error);
  }
}

/** Says what a finished demo in this folder found. False where there is none. */
async function tellFinished(out: string, io: CommandIo): Promise<boolean> {
  const file = join(out, 'metrics.json');
  if (!existsSync(file) || !(await isFinished(out))) return false;
  const { testAccuracy, trainSeconds, completenessResidual, onnxMaxAbsDiff } = (await readJson(file)) as Readonly<Record<string, number>>;
  io.say(`The demo in ${out} is finished.${figureLines({ testAccuracy, trainSeconds, completenessResidual, onnxMaxAbsDiff })}`);
  io.say(whereToLook(out));
  io.say(`Anew      ${anewLine(out)}`);
  return true;
}

async function demo({ out, again }: DemoOptions, io: CommandIo): Promise<void> {
  const started = performance.now();
  const { engine, reason } = await resolveEngine();
  io.say(`coda-nets ${projectVersion} demo: a frozen ResNet-20 stem with a CoDA head, on CIFAR-10`);
  io.say(`engine: ${engine.name} (${engine.description}), ${reason}`);
  io.say('\n1/6 data');
  const { folder } = await fetchWithProgress(io);
  const dataset = await openDataset(folder);
  io.say(`CIFAR-10 in ${folder}`);
  const afterData = performance.now();

  io.say('\n2/6 training');
  if (again === true) {
    await forgetRun(out);
    await rm(join(out, 'metrics.json'), { force: true });
  }
  const run = await interruptible((signal) => trainDemo({ dataset, engine, out, io, signal }));
  if (!run.finished) {
    io.say(
      `Interrupted, ${run.step === 0 ? 'nothing trained yet' : `step ${run.step} of ${run.totalSteps} is saved, the stem’s features are in memory alone and will be computed again`}; go on with: ${demoLine(out)}`,
    );
    throw new Interrupted();
  }
  const modelFile = join(out, 'hybrid.safetensors');
  await writeModel(modelFile, await readModel(join(out, 'last.safetensors')));
  const open = await openModel(modelFile);

  io.say('\n3/6 evaluation');
  const test = dataset.split('test');
  const bar = io.progress('test images', test.length, 'images');
  const evaluated = await evaluate({
    network: open.network,
    weights: open.model.weights,
    engine,
    split: test,
    onProgress: (done) => bar.update(done),
  }).finally(() => bar.stop());
  io.say(
    `test accuracy ${(100 * evaluated.top1).toFixed(2)} % on ${evaluated.images} images, ${evaluated.imagesPerSecond.toFixed(0)} images/s`,
  );

  io.say('\n4/6 explanations');
  const [height, width] = open.network.inputShape;
  const first = Array.from({ length: EXPLAINED }, (_, i) => i);
  const images = await loadBatch(test, first, { size: [height, width] });
  const explain = await explainer({ engine, network: open.network, weights: open.model.weights });
  const explanations = await explain.explain(images);
  await explain.dispose();
  await writePictures(out, images, test, explanations, open);
  const exactResiduals = explanations.flatMap(({ taps }) => taps.filter(({ exact }) => exact).map(({ residual }) => residual));
  const completenessResidual = Math.max(...exactResiduals);
  io.say(
    `${EXPLAINED} images at ${explain.taps.length} taps; worst completeness residual at the exact taps ${completenessResidual.toExponential(2)}`,
  );

  if (!(completenessResidual <= MAX_RESIDUAL)) {
    throw new CodaError({
      kind: 'numeric',
      where: 'explanations',
      problem: 'the contributions of an exact tap do not sum to the score',
      expected: `a residual of at most ${MAX_RESIDUAL}`,
      got: completenessResidual.toExponential(2),
    });
  }

  io.say('\n5/6 ONNX');
  const onnxFile = join(out, 'hybrid.onnx');
  const bytes = exportNetwork(open.network, open.model, {
    explain: true,
    taps: open.network.taps.map(({ name }) => name),
    version: projectVersion,
  });
  await writeFileAtomic(onnxFile, bytes);
  const reference = await resolveEngine('wasm');
  const verified = await verifyOnnx(await openOnnxFile(onnxFile), onnxFile, open, images, reference.engine);
  io.say(
    `${onnxFile}: ${(bytes.length / 1e6).toFixed(1)} MB; ONNX Runtime against eager ${reference.engine.name} at batch 1, 3 and 64: ${verified.maxAbsDiff.toExponential(2)}`,
  );
  if (verified.maxAbsDiff > VERIFY_TOLERANCE) {
    throw new CodaError({
      kind: 'numeric',
      where: onnxFile,
      problem: 'the file deviates from its model',
      expected: `at most ${VERIFY_TOLERANCE}`,
      got: verified.maxAbsDiff.toExponential(2),
    });
  }

  io.say('\n6/6 report');
  const figures = {
    testAccuracy: evaluated.top1,
    trainSeconds: run.seconds,
    completenessResidual,
    onnxMaxAbsDiff: verified.maxAbsDiff,
    engine: engine.name,
  };
  const seconds = (performance.now() - afterData) / 1000;
  await writeFileAtomic(
    join(out, 'metrics.json'),
    `${JSON.stringify({ ...figures, testImages: evaluated.images, testLoss: evaluated.loss, secondsAfterDownload: seconds, engineDescription: engine.description, seed: run.config.seed ?? 0, cores: availableParallelism(), node: process.version, version: projectVersion }, null, 2)}\n`,
  );
  const html = await renderReport({
    title: 'A hybrid network on CIFAR-10',
    figures: { ...figures, engine: engine.description, testImages: evaluated.images, seed: run.config.seed ?? 0 },
    history: (await readMetrics(out)).epochs,
    heldOut: 'validation',
    classNames: open.model.classNames,
    images: explanations.map((explanation, n) => ({
      name: `test image ${n}`,
      picture: pictureOf(imageOf(images, n)),
      label: test.labels[n],
      explanation,
    })),
  });
  await writeFileAtomic(join(out, 'report.html'), html);

  const total = (performance.now() - started) / 1000;
  io.say(`
Trained a hybrid network, explained it, and exported it with its explanation, in ${duration(total)} (${duration(seconds)} after the download).${figureLines(figures)}`);
  io.say(whereToLook(out));
}

/** Goes on with the run in `out`, or starts one. A run of another config is somebody's: it is not touched. */
async function trainDemo(options: Omit<Parameters<typeof trainRun>[0], 'preset' | 'data' | 'resume'>): Promise<TrainRun> {
  const resume = (await storedConfig(options.out)) !== undefined;
  try {
    return await trainRun({ ...options, preset: PRESET, data: 'cifar10', resume });
  } catch (error) {
    if (!resume || !CodaError.isInstance(error) || error.kind !== 'argument') throw error;
    throw error.withHint('Choose another folder with --out, or train anew in this one with --again.');
  }
}

/** Each image as it went in, and as a strip with its maps. */
async function writePictures(
  out: string,
  images: NdArray<'float32'>,
  test: ImageSplit,
  explanations: readonly Explanation[],
  { model }: OpenModel,
): Promise<void> {
  for (const folder of ['images', 'explanations']) await mkdir(join(out, folder), { recursive: true });
  for (const [n, explanation] of explanations.entries()) {
    const label = model.classNames[test.labels[n] as number] ?? '';
    const name = `${String(n).padStart(2, '0')}-${label}.png`;
    const image = pictureOf(imageOf(images, n));
    await writeFileAtomic(join(out, 'images', name), await encodePng(image));
    await writeFileAtomic(join(out, 'explanations', name), await encodePng(strip(image, explanation, { label })));
  }
}
