#!/usr/bin/env node
/**
 * The whole thread on real data: fetches CIFAR-10, trains a hybrid on a frozen stem, evaluates it, explains twelve test images at every tap, exports
 * classifier and explanation as one ONNX file, verifies that in ONNX Runtime, and writes a report. What `npm run demo` runs.
 */
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { CodaError, type NdArray } from '@coda-nets/core';
import { writeFileAtomic, writeModel } from '@coda-nets/core/node';
import { encodePng, explainer, pictureOf, strip, type Explanation } from '@coda-nets/depth';
import { resolveEngine } from '@coda-nets/engine';
import { assembleBatch, evaluate, openDataset, type ImageSplit } from '@coda-nets/train';
import { reportError } from './cli.ts';
import { commandIo, type CommandIo } from './command-io.ts';
import { fetchWithProgress } from './commands/data.ts';
import { VERIFY_TOLERANCE } from './commands/verify.ts';
import { exportNetwork } from './export-network.ts';
import { openModel, type OpenModel } from './open-model.ts';
import { duration } from './progress.ts';
import { projectVersion } from './project-version.ts';
import { renderReport } from './report/render-report.ts';
import { readEpochs, trainRun } from './train-run.ts';
import { verifyOnnx } from './verify-onnx.ts';
import { imageOf } from './write-explanations.ts';

/** The first images of the test split, not the prettiest. */
const EXPLAINED = 12;
const PRESET = 'hybrid-cifar10-resnet20';
/** What float32 leaves of an exact sum: Σ contributions = z − b₀ (arXiv 2109.13004, section 3). */
const MAX_RESIDUAL = 1e-5;

const out = 'runs/demo';

async function demo(io: CommandIo, signal: AbortSignal): Promise<void> {
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
  const run = await trainRun({ preset: PRESET, data: 'cifar10', dataset, engine, out, io, signal, restart: true });
  if (!run.finished) {
    io.say('Interrupted; what was reached is saved. `npm run demo` goes on from there.');
    process.exitCode = 1;
    return;
  }
  const modelFile = join(out, 'hybrid.safetensors');
  await writeModel(modelFile, run.model);
  const open = await openModel(modelFile);

  io.say('\n3/6 evaluation');
  const test = dataset.split('test');
  const bar = io.progress('test images', test.length, 'images');
  const evaluated = await evaluate({ network: open.network, weights: open.model.weights, engine, split: test, onProgress: (done) => bar.update(done) }).finally(() => bar.stop());
  io.say(`test accuracy ${(100 * evaluated.top1).toFixed(2)} % on ${evaluated.images} images, ${evaluated.imagesPerSecond.toFixed(0)} images/s`);

  io.say('\n4/6 explanations');
  const { images } = assembleBatch(test, Array.from({ length: EXPLAINED }, (_, i) => i));
  const explain = await explainer({ engine, network: open.network, weights: open.model.weights });
  const explanations = await explain.explain(images);
  await explain.dispose();
  await writeStrips(images, test, explanations, open);
  const exactResiduals = explanations.flatMap(({ taps }) => taps.filter(({ exact }) => exact).map(({ residual }) => residual));
  const completenessResidual = Math.max(...exactResiduals);
  io.say(`${EXPLAINED} images at ${explain.taps.length} taps; worst completeness residual at the exact taps ${completenessResidual.toExponential(2)}`);

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
  const bytes = exportNetwork(open.network, open.model, { explain: true, taps: open.network.taps.map(({ name }) => name), version: projectVersion });
  await writeFileAtomic(onnxFile, bytes);
  const reference = await resolveEngine('wasm');
  const verified = await verifyOnnx(bytes, onnxFile, open, images, reference.engine);
  io.say(`${onnxFile}: ${(bytes.length / 1e6).toFixed(1)} MB; ONNX Runtime against eager ${reference.engine.name} at batch 1, 3 and 64: ${verified.maxAbsDiff.toExponential(2)}`);
  if (verified.maxAbsDiff > VERIFY_TOLERANCE) {
    throw new CodaError({ kind: 'numeric', where: onnxFile, problem: 'the file deviates from its model', expected: `at most ${VERIFY_TOLERANCE}`, got: verified.maxAbsDiff.toExponential(2) });
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
    history: await readEpochs(out),
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
  const here = (name: string): string => relative(process.cwd(), join(out, name));
  io.say(`
Trained a hybrid network, explained it, and exported it with its explanation, in ${duration(total)} (${duration(seconds)} after the download).
  test accuracy          ${(100 * evaluated.top1).toFixed(2)} %   (training ${duration(run.seconds)})
  completeness residual  ${completenessResidual.toExponential(2)}   (|Σ contributions − (z − b₀)| / |z − b₀|, worst of ${exactResiduals.length})
  ONNX against eager     ${verified.maxAbsDiff.toExponential(2)}   (largest difference of any logit or map entry)
Look at   ${here('report.html')}   the report: open it in a browser
          ${here('explanations')}/   one picture for each image
          ${here('hybrid.onnx')}   runs anywhere ONNX Runtime does
Try next  npx --yes pnpm@10 --silent coda explain ${here('hybrid.safetensors')} YOUR-IMAGE.png --out explained
          npx --yes pnpm@10 --silent coda info ${here('hybrid.safetensors')}`);
}

async function writeStrips(images: NdArray<'float32'>, test: ImageSplit, explanations: readonly Explanation[], { model }: OpenModel): Promise<void> {
  const folder = join(out, 'explanations');
  await mkdir(folder, { recursive: true });
  for (const [n, explanation] of explanations.entries()) {
    const label = model.classNames[test.labels[n] as number] ?? '';
    const picture = strip(pictureOf(imageOf(images, n)), explanation, { label });
    await writeFileAtomic(join(folder, `${String(n).padStart(2, '0')}-${label}.png`), await encodePng(picture));
  }
}

const controller = new AbortController();
process.once('SIGINT', () => controller.abort());
try {
  await demo(commandIo(false), controller.signal);
} catch (error) {
  process.exitCode = reportError(error);
}
