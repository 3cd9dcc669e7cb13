/** The report of a depth analysis: one HTML file that needs nothing else, neither scripts nor fonts nor a network. Text from outside is escaped. */
import { encodePng } from '@coda-nets/depth';
import { escapeHtml, scientificHtml } from '../report/escape-html.ts';
import { reportStyle } from '../report/report-style.ts';
import type { DepthChart } from './depth-charts.ts';
import type { DepthExample } from './depth-examples.ts';
import { valuesOf, type DepthResults, type ModelResult } from './depth-results.ts';
import { fewGrids } from './draw-grids.ts';

export interface DepthReportOptions {
  readonly results: DepthResults;
  readonly charts: readonly DepthChart[];
  /** By model, in their order. */
  readonly examples: readonly (readonly DepthExample[])[];
}

const style = `
.wide{margin:0 0 22px;background:#fff;color:#1d2128;border:1px solid var(--line);border-radius:12px;padding:12px 14px}
.wide figcaption{color:#5a616d}.wide h3{margin-bottom:6px}.wide svg{display:block;width:100%;min-width:700px;height:auto}
.wide img{display:block;max-width:none;image-rendering:pixelated}
.examples{position:relative;left:50%;transform:translateX(-50%);width:min(1270px,100vw - 40px)}
.numbers table{font-size:.84rem}.numbers thead th{white-space:normal;vertical-align:bottom;max-width:7em}
.numbers th,.numbers td{padding-right:12px}.numbers .text{text-align:left}.numbers tbody th{vertical-align:top}
`;

export async function renderDepthReport({ results, charts, examples }: DepthReportOptions): Promise<string> {
  const { models, gridList, preset } = results;
  const title = `How deep the explanation holds: ${models.map(({ name }) => name).join(', ')}`;
  const shown: string[] = [];
  for (const [i, model] of models.entries()) {
    for (const example of examples[i] ?? []) shown.push(await exampleFigure(model, example, results));
  }
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
    `<title>${escapeHtml(title)}</title><style>${reportStyle}${style}</style></head><body>`,
    `<header class="top"><h1>${escapeHtml(title)}</h1><p class="intro">Which share of a class’s positive attribution lies in its own image, in ${gridList.grids.length} grids of `,
    `${gridList.n} × ${gridList.n} images, at every tap from the output to the input. All methods and models are scored on the same grids, which results.json holds. `,
    `Preset ${escapeHtml(preset)}, scoring ${results.scoring}${results.setting === 'difull' ? '; control: every cell went through the network alone' : ''}. ${fewGrids(gridList.grids.length, preset) ?? ''}</p>${depthTiles(results)}</header><main>`,
    `<section><h2>Figures</h2>${charts.map(chartFigure).join('')}</section>`,
    shown.length === 0 ? '' : `<section><h2>Best, median and worst grid</h2>${howToRead}${shown.join('')}</section>`,
    `<section><h2>Every number</h2>${models.map((model) => modelTable(model, results)).join('')}</section>`,
    `<section><h2>What each number means</h2>${meanings(results)}</section></main>`,
    `<footer class="foot">Written by coda-nets ${escapeHtml(results.versions.coda)}, Node ${escapeHtml(results.versions.node)}, ${escapeHtml(results.versions.engine)}. `,
    `Seed ${results.seed}. Data: ${escapeHtml(results.data.name)}, test split.</footer></body></html>\n`,
  ].join('');
}

function depthTiles({ models }: DepthResults): string {
  const tiles = models.flatMap((model) =>
    model.methods.flatMap(({ name, interpretableDepth: depth }) => {
      if (depth === null) return [];
      const { taps, of, interval, deepest } = depth;
      const range = `${Math.round(100 * interval.confidence)} % interval ${interval.low} to ${interval.high}`;
      const whose = models.length > 1 ? `${escapeHtml(model.name)}, ` : '';
      return [
        `<div><dt>Interpretable depth, ${whose}${escapeHtml(name)}</dt><dd>${taps} of ${of} taps</dd><dt>${deepest === null ? '' : `down to <code>${escapeHtml(deepest)}</code>; `}${range}</dt></div>`,
      ];
    }),
  );
  return tiles.length === 0 ? '' : `<dl class="figures-grid">${tiles.join('')}</dl>`;
}

function chartFigure({ title, caption, svg }: DepthChart): string {
  return `<figure class="wide"><h3>${escapeHtml(title)}</h3><div class="scroll">${svg}</div><figcaption>${escapeHtml(caption)}</figcaption></figure>`;
}

function modelTable(model: ModelResult, { scoring }: DepthResults): string {
  const rows = model.methods.flatMap((method) =>
    method.taps.map((tap, i) => {
      const { mean, median, lowerQuartile, upperQuartile } = valuesOf(tap, scoring).summary;
      const cells = [mean, median, lowerQuartile, upperQuartile, tap.upsample.summary.median, tap.negativeMass.median].map((x) =>
        x.toFixed(3),
      );
      const kind = tap.exact ? 'exact' : method.method === 'contributions' ? 'gradient × activation' : 'post hoc';
      const head = i > 0 ? '' : `<th scope="rowgroup" class="text" rowspan="${method.taps.length}">${escapeHtml(method.name)}</th>`;
      return `<tr>${head}<td class="text"><code>${escapeHtml(tap.tap)}</code></td><td>${tap.size.join('×')}</td><td class="text">${kind}</td>${cells
        .map((cell) => `<td>${cell}</td>`)
        .join('')}<td>${residualHtml(tap.residual.median)}</td><td>${residualHtml(tap.residual.max)}</td></tr>`;
    }),
  );
  const removal = model.methods.flatMap(({ name, removal: curves }) =>
    curves.map(
      ({ tap, order, mean, meanOfCurve }) =>
        `<tr><th scope="row" class="text">${escapeHtml(name)}</th><td class="text"><code>${escapeHtml(tap)}</code></td><td class="text">${order} first</td><td>${(mean[0] ?? NaN).toFixed(3)}</td><td>${(mean.at(-1) ?? NaN).toFixed(3)}</td><td>${meanOfCurve.toFixed(3)}</td></tr>`,
    ),
  );
  const head = [
    'method',
    'tap',
    'map',
    'kind',
    'mean',
    'median',
    '25 %',
    '75 %',
    'median, upsample',
    'negative mass',
    'residual, median',
    'residual, worst',
  ];
  const removalHead = ['method', 'tap', 'order', 'start', 'end', 'mean of curve'];
  const table = (names: readonly string[], body: readonly string[]): string =>
    `<div class="scroll"><table><thead><tr>${names.map((name) => `<th scope="col"${TEXT.has(name) ? ' class="text"' : ''}>${name}</th>`).join('')}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
  return [
    `<details class="numbers" open><summary>${escapeHtml(model.name)}: localisation (${scoring}), completeness, negative mass</summary>${table(head, rows)}</details>`,
    removal.length === 0
      ? ''
      : `<details class="numbers"><summary>${escapeHtml(model.name)}: removal</summary>${table(removalHead, removal)}</details>`,
  ].join('');
}

/** With as many places as the other columns, where that says anything. */
function residualHtml(x: number): string {
  return x >= 0.001 ? x.toFixed(3) : scientificHtml(x);
}

/** Columns that are no numbers. */
const TEXT: ReadonlySet<string> = new Set(['method', 'tap', 'kind', 'order']);

const howToRead = [
  '<p>In front the grid, with a frame around the cell of the class that is explained; then a map a tap, from the input to the output, a row a method: <span class="for">red speaks for the class</span>, <span class="against">blue against it</span>. ',
  'Full colour is the 99.5th percentile of each map, so compare patterns, not shades. The number is the share of what is red that lies in the frame.</p>',
  '<p class="scale" aria-hidden="true"><span>against</span><i></i><span>for the class</span></p>',
].join('');

async function exampleFigure(model: ModelResult, example: DepthExample, { classNames, gridList }: DepthResults): Promise<string> {
  const { rank, grid, cell, targetClass, score, tap, picture } = example;
  const place = `row ${Math.floor(cell / gridList.n) + 1}, column ${(cell % gridList.n) + 1}`;
  const name = classNames[targetClass] ?? `class ${targetClass}`;
  const uri = `data:image/png;base64,${Buffer.from(await encodePng(picture)).toString('base64')}`;
  const by = (model.methods[0] as ModelResult['methods'][number]).name;
  const text = `Grid ${grid + 1} of ${gridList.grids.length}, the ${rank} by the mean localisation of ${by} at ${tap}. Explained: ${name}, ${place}, the ${rank} cell of the grid, localisation ${score.toFixed(3)}.`;
  return `<figure class="wide examples"><h3>${escapeHtml(`${model.name}: ${rank} grid`)}</h3><div class="scroll"><img src="${uri}" alt="${escapeHtml(text)}"></div><figcaption>${escapeHtml(text)}</figcaption></figure>`;
}

function meanings({ gridList: { n, threshold }, models, smooth }: DepthResults): string {
  const tau = models[0]?.methods.find(({ interpretableDepth: depth }) => depth !== null)?.interpretableDepth?.threshold ?? 0.5;
  const entries: [string, string][] = [
    [
      'Localisation',
      `Positive attribution in the class’s cell over all positive attribution, channels summed first${smooth > 1 ? `, maps averaged over ${smooth} × ${smooth} pixels` : ''}. 1 is an oracle, 1/${n * n} a uniform map, 0 one without anything positive. <em>pool</em> scores the map as it is, <em>upsample</em> after bilinear enlargement to the grid’s pixels.`,
    ],
    [
      'Grids',
      `Test images of distinct classes that every model here has right with a probability above ${threshold}, the most confident first; each image stands in one grid at most.`,
    ],
    [
      'Interpretable depth',
      `Taps, counted from the output without a gap, whose median localisation is at least ${tau}; interval by bootstrap over grids. The notion is arXiv 2109.13004’s, this definition ours.`,
    ],
    [
      'Exact',
      'All layers above are dynamic linear, and contributions sum to z − b<sub>0</sub>. Elsewhere they are gradient × activation with the head’s weights held.',
    ],
    [
      'Residual',
      '|Σ − (z − b<sub>0</sub>)| / |z − b<sub>0</sub>|. At exact taps only the rounding of 32-bit numbers is left; for post-hoc methods it says how far they are from adding up.',
    ],
    ['Negative mass', 'The share of a map’s magnitude that speaks against the class; near one half what is for and against cancels.'],
    ['Removal', 'Positions of the tap set to zero in all channels, in the order of their attribution.'],
  ];
  return `<dl class="meanings">${entries.map(([name, text]) => `<dt>${name}</dt><dd>${text}</dd>`).join('')}</dl>`;
}
