/**
 * The report of a training run, as far as it is: one HTML file, `report.html` in the run folder, that needs nothing else. It shows what the folder holds and
 * computes nothing. Text that comes from outside is escaped.
 */
import { writeFileAtomic } from '@coda-nets/core/node';
import { storedConfig, type TrainConfig } from '@coda-nets/train';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { durationText, escapeHtml, percentHtml, scientificHtml } from './escape-html.ts';
import { learningCurves } from './learning-curves.ts';
import { lineChart, type ChartPoint } from './line-chart.ts';
import { reportStyle } from './report-style.ts';
import { readMetrics, type MetricsLines } from './read-metrics.ts';

/** More points than this in a chart are nobody's to see. */
const MOST_POINTS = 300;
/** Sets of maps: the first, the last, and some between. */
const MOST_EPOCHS = 6;
const MOST_BAD = 200;

export async function writeRunReport(out: string): Promise<void> {
  const config = await storedConfig(out);
  if (config === undefined) return;
  await writeFileAtomic(join(out, 'report.html'), renderRunReport(config, await readMetrics(out), await mapsOf(out)));
}

interface EpochMaps {
  readonly epoch: number;
  /** PNG by the image's name. */
  readonly images: ReadonlyMap<string, Uint8Array>;
}

function renderRunReport(config: TrainConfig, { steps, epochs, explanations, bad }: MetricsLines, maps: readonly EpochMaps[]): string {
  const last = epochs.at(-1);
  const title = `${config.network.kind} on ${config.data ?? 'its data'}`;
  const sections: [string, string][] = [
    ['Learning', learningCurves(epochs, 'validation')],
    ['While training', charts(steps, epochs, explanations)],
    ['Contribution maps of the same images', mapsHtml(maps)],
    ['Images that could not be read', badHtml(bad)],
    ['Config', `<div class="scroll"><pre>${escapeHtml(JSON.stringify(config, undefined, 2))}</pre></div>`],
  ];
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
    `<title>${escapeHtml(title)}</title><style>${reportStyle}.maps img{display:block;max-width:100%;height:auto;image-rendering:pixelated}.maps h4{margin:14px 0 4px}</style></head><body>`,
    `<header class="top"><h1>${escapeHtml(title)}</h1>`,
    `<p class="intro">A training run after ${last?.epoch ?? 0} of ${config.epochs} epochs.</p>${tiles(config, last, explanations.at(-1)?.residual, bad.length)}</header><main>`,
    ...sections.map(([name, html]) => (html === '' ? '' : `<section><h2>${name}</h2>${html}</section>`)),
    '</main><footer class="foot">Written by coda-nets from this run folder.</footer></body></html>\n',
  ].join('');
}

function tiles(
  { batch, seed }: TrainConfig,
  last: MetricsLines['epochs'][number] | undefined,
  residual: number | undefined,
  bad: number,
): string {
  const all: [string, string | undefined][] = [
    ['Validation accuracy', last?.validationAccuracy === undefined ? undefined : percentHtml(last.validationAccuracy, 2)],
    ['Training loss', last?.trainLoss?.toPrecision(4)],
    ['Time so far', last?.seconds === undefined ? undefined : durationText(last.seconds)],
    ['Completeness residual, worst', residual === undefined ? undefined : scientificHtml(residual)],
    ['Batch, seed', `${batch}, ${seed}`],
    ['Images left out', bad === 0 ? undefined : String(bad)],
  ];
  const html = all.flatMap(([name, value]) => (value === undefined ? [] : [`<div><dt>${name}</dt><dd>${value}</dd></div>`]));
  return `<dl class="figures-grid">${html.join('')}</dl>`;
}

function charts(steps: MetricsLines['steps'], epochs: MetricsLines['epochs'], explanations: MetricsLines['explanations']): string {
  const ofSteps = (key: 'loss' | 'learningRate' | 'imagesPerSecond'): ChartPoint[] =>
    thinned(steps).flatMap((line) => (Number.isFinite(line[key]) ? [{ x: line.step, value: line[key] as number }] : []));
  const one = (title: string, points: ChartPoint[], axis: string): string =>
    lineChart(
      title,
      [{ name: '', colour: 'var(--series-2)', points }].filter((series) => series.points.length > 0),
      { axis },
    );
  const layers = [...new Set(epochs.flatMap(({ alignment }) => Object.keys(alignment ?? {})))];
  const aligned = layers.map((name, i) => ({
    name,
    colour: `hsl(${Math.round((360 * i) / layers.length)} 60% 48%)`,
    points: epochs.flatMap(({ epoch, alignment }) => {
      const value = alignment?.[name]?.cosine.p50;
      return value === undefined ? [] : [{ x: epoch, value }];
    }),
  }));
  const residuals = explanations.flatMap(({ epoch, residual }) => (residual > 0 ? [{ x: epoch, value: Math.log10(residual) }] : []));
  const html = [
    one('Loss of training steps', ofSteps('loss'), 'step'),
    one('Learning rate', ofSteps('learningRate'), 'step'),
    one('Images a second', ofSteps('imagesPerSecond'), 'step'),
    lineChart('Alignment: median cosine of weight and input, by layer', aligned, { format: (x) => x.toFixed(2) }),
    one('Completeness residual, worst, as a power of ten', residuals, 'epoch'),
  ];
  return html.every((chart) => chart === '') ? '' : `<div class="charts">${html.join('')}</div>`;
}

function thinned<T>(lines: readonly T[]): readonly T[] {
  const every = Math.ceil(lines.length / MOST_POINTS);
  return lines.filter((_, i) => i % every === 0 || i === lines.length - 1);
}

function mapsHtml(maps: readonly EpochMaps[]): string {
  const names = [...new Set(maps.flatMap(({ images }) => [...images.keys()]))].sort();
  if (names.length === 0) return '';
  const rows = names.map((name) => {
    const images = maps.flatMap(({ epoch, images }) => {
      const png = images.get(name);
      if (png === undefined) return [];
      const alt = `Contribution maps of image ${escapeHtml(name)} after epoch ${epoch}`;
      return [`<h4>epoch ${epoch}</h4><img alt="${alt}" src="data:image/png;base64,${Buffer.from(png).toString('base64')}">`];
    });
    return `<article class="card maps"><h3>${escapeHtml(name)}</h3><div class="scroll">${images.join('')}</div></article>`;
  });
  return `<p>For the true class, at every exact tap: each map sums to z − b<sub>0</sub>, up to the residual beside it. Red speaks for the class, blue against it.</p>${rows.join('')}`;
}

function badHtml(bad: MetricsLines['bad']): string {
  if (bad.length === 0) return '';
  const items = bad.slice(0, MOST_BAD).map(({ file, reason }) => `<li><code>${escapeHtml(file)}</code>: ${escapeHtml(reason)}</li>`);
  const more = bad.length > MOST_BAD ? `<p>And ${bad.length - MOST_BAD} more, in metrics.jsonl.</p>` : '';
  return `<ul>${items.join('')}</ul>${more}`;
}

/** The pictures in `maps`. */
async function mapsOf(out: string): Promise<readonly EpochMaps[]> {
  const folder = join(out, 'maps');
  const epochs = (await readdir(folder).catch(() => []))
    .filter((name) => /^epoch-\d+$/.test(name))
    .sort((a, b) => Number(a.slice(6)) - Number(b.slice(6)));
  const step = (epochs.length - 1) / (MOST_EPOCHS - 1);
  const chosen =
    epochs.length <= MOST_EPOCHS ? epochs : Array.from({ length: MOST_EPOCHS }, (_, i) => epochs[Math.round(i * step)] as string);
  const maps: EpochMaps[] = [];
  for (const epoch of chosen) {
    const images = new Map<string, Uint8Array>();
    for (const file of (await readdir(join(folder, epoch))).filter((name) => name.endsWith('.png')).sort()) {
      images.set(file.slice(0, -'.png'.length), await readFile(join(folder, epoch, file)));
    }
    maps.push({ epoch: Number(epoch.slice(6)), images });
  }
  return maps;
}
