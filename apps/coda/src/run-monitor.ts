/**
 * What `coda train` looks at when an epoch ends: contribution maps of the same few images for their true class, and the completeness residual, as
 * pictures in `maps/epoch-…`, a line of metrics.jsonl and pictures and numbers for TensorBoard; then the run's report. It trains nothing, and
 * where it fails the training goes on.
 */
import { CodaError, ndArray, type Engine, type NdArray, type Network } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { encodePng, explainer, pictureOf, strip, type Explanation } from '@coda-nets/depth';
import { loadBatch, type EpochEnd, type ImageSplit, type TrainConfig } from '@coda-nets/train';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { imagesAtATime } from './images-at-a-time.ts';
import { writeRunReport } from './report/run-report.ts';
import { imageOf } from './write-explanations.ts';

export interface RunMonitorOptions {
  readonly network: Network;
  readonly engine: Engine;
  readonly config: TrainConfig;
  readonly classNames: readonly string[];
  readonly say: (line: string) => void;
}

/** For `atEpochEnd` of `train`. */
export function runMonitor({ network, engine, config, classNames, say }: RunMonitorOptions): (end: EpochEnd) => Promise<void> {
  const [height, width] = network.inputShape;
  const exact = network.taps.filter((tap) => tap.exact).map(({ name }) => name);
  let told = false;
  let fixed: Promise<FixedImages> | undefined;
  const explain = async ({ epoch, step, weights, split, run }: EpochEnd): Promise<void> => {
    if (exact.length === 0) {
      if (!told) say('No contribution maps: no part of this network is dynamic linear, so none would be exact.');
      told = true;
      return;
    }
    const { images, labels, places } = await (fixed ??= fixedImages(split, config, [height, width]));
    const compiled = await explainer({ engine, network, weights, taps: exact, chunk: imagesAtATime(height, width, 16) });
    let explanations: readonly Explanation[];
    try {
      explanations = await compiled.explain(images, labels);
    } finally {
      await compiled.dispose();
    }
    const folder = join(run.path, 'maps', epochFolder(epoch));
    await mkdir(folder, { recursive: true });
    for (const [n, explanation] of explanations.entries()) {
      const label = classNames[labels[n] as number] ?? '';
      const name = `${String(n).padStart(2, '0')}-${fileName(label)}`;
      const picture = strip(pictureOf(imageOf(images, n)), explanation, { label });
      const png = await encodePng(picture);
      await writeFileAtomic(join(folder, `${name}.png`), png);
      await run.logImage(step, { tag: `maps/${name}`, png, width: picture.width, height: picture.height });
    }
    await run.log({ type: 'explanation', step, epoch, images: places, taps: exact, ...figuresOf(explanations) });
  };
  return async (end) => {
    try {
      const due = config.explainEvery > 0 && (end.epoch % config.explainEvery === 0 || end.epoch === config.epochs);
      if (due) await explain(end);
      await writeRunReport(end.run.path);
    } catch (error) {
      if (!CodaError.isInstance(error) && (error as NodeJS.ErrnoException).code === undefined) throw error;
      say(`After epoch ${end.epoch} maps and report could not be made (${(error as Error).message}); the training goes on.`);
    }
  };
}

/** `epoch-007` */
function epochFolder(epoch: number): string {
  return `epoch-${String(epoch).padStart(3, '0')}`;
}

interface FixedImages {
  /** [n, H, W, 3] */
  readonly images: NdArray<'float32'>;
  readonly labels: readonly number[];
  /** In the split. */
  readonly places: readonly number[];
}

/** Evenly spread, so that a split in the order of its classes shows many; in place of one that cannot be read the next one. */
async function fixedImages(
  split: ImageSplit,
  { explainImages, resize }: TrainConfig,
  size: readonly [number, number],
): Promise<FixedImages> {
  const wanted = Math.min(explainImages, split.length);
  const found: { readonly place: number; readonly image: NdArray<'float32'> }[] = [];
  let problem: unknown;
  for (let n = 0; n < wanted; n++) {
    const end = Math.floor(((n + 1) * split.length) / wanted);
    for (let place = Math.floor((n * split.length) / wanted); place < end; place++) {
      try {
        found.push({ place, image: await loadBatch(split, [place], { size, resize }) });
        break;
      } catch (error) {
        problem = error;
      }
    }
  }
  if (found.length === 0) throw problem;
  const data = new Float32Array(found.length * size[0] * size[1] * 3);
  for (const [n, { image }] of found.entries()) data.set(image.data, n * image.data.length);
  return {
    images: ndArray('float32', [found.length, ...size, 3], data),
    labels: found.map(({ place }) => split.labels[place] as number),
    places: found.map(({ place }) => place),
  };
}

function figuresOf(explanations: readonly Explanation[]): { residual: number; probability: number } {
  const residuals = explanations.flatMap(({ taps }) => taps.map(({ residual }) => residual));
  return {
    residual: Math.max(...residuals),
    probability: explanations.reduce((sum, { probability }) => sum + probability, 0) / explanations.length,
  };
}

/** A class's name as part of a file's. */
function fileName(label: string): string {
  return label
    .normalize('NFC')
    .replaceAll(/[^\p{L}\p{N}]+/gu, '-')
    .slice(0, 40);
}
