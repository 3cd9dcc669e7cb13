/**
 * The report of a trained network: one HTML file that needs nothing else, neither scripts nor fonts nor a network. Text that comes from
 * outside is escaped. It shows figures, and computes none beyond sums for its descriptions.
 */
import { durationText, escapeHtml, percentHtml, scientificHtml } from './escape-html.ts';
import { explainedImage, type ReportImage } from './explained-image.ts';
import { learningCurves, type EpochFigures } from './learning-curves.ts';
import { reportStyle } from './report-style.ts';

interface ReportFigures {
  /** Share of test images whose most probable class is the true one. */
  readonly testAccuracy?: number | undefined;
  readonly testImages?: number | undefined;
  readonly trainSeconds?: number | undefined;
  /** The largest |Σ s − (z − b₀)| / |z − b₀| of any image at any exact tap. */
  readonly completenessResidual?: number | undefined;
  /** The largest deviation of the exported file's outputs from the network's. */
  readonly onnxMaxAbsDiff?: number | undefined;
  readonly engine?: string | undefined;
  readonly parameters?: number | undefined;
  readonly seed?: number | undefined;
  readonly commit?: string | undefined;
}

export interface ReportOptions {
  readonly title: string;
  /** A sentence about this network, below the title. */
  readonly summary?: string | undefined;
  readonly figures: ReportFigures;
  readonly history: readonly EpochFigures[];
  /** What the history's `validation…` were measured on. Default `test`. */
  readonly heldOut?: 'test' | 'validation';
  readonly classNames: readonly string[];
  readonly images: readonly ReportImage[];
  /** How logits become probabilities; sigmoids need not sum to 1. Default sigmoid. */
  readonly probability?: 'sigmoid' | 'softmax';
}

export async function renderReport({
  title,
  summary = 'A classifier that accounts for its own predictions: from the cut upwards, every score is a sum of contributions, place by place.',
  figures,
  history,
  heldOut = 'test',
  classNames,
  images,
  probability = 'sigmoid',
}: ReportOptions): Promise<string> {
  const cards: string[] = [];
  for (const [i, image] of images.entries()) cards.push(await explainedImage(image, i + 1, classNames));
  const curves = learningCurves(history, heldOut);
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
    `<title>${escapeHtml(title)}</title><style>${reportStyle}</style></head><body>`,
    `<header class="top"><h1>${escapeHtml(title)}</h1><p class="intro">${escapeHtml(summary)}</p>${tiles(figures)}</header><main>`,
    curves === '' ? '' : `<section><h2>Learning</h2>${curves}</section>`,
    cards.length === 0 ? '' : `<section><h2>Explanations</h2>${howToRead}${cards.join('')}</section>`,
    `<section><h2>What each number means</h2>${meanings(probability)}</section>`,
    `<section><h2>References</h2>${references}</section></main>`,
    `<footer class="foot">${footer(figures)}</footer></body></html>\n`,
  ].join('');
}

function tiles({
  testAccuracy,
  testImages,
  trainSeconds,
  completenessResidual,
  onnxMaxAbsDiff,
  parameters,
  engine,
}: ReportFigures): string {
  const onImages = testImages === undefined ? '' : `, ${testImages.toLocaleString('en')} images`;
  const all: [string, string | undefined, string?][] = [
    [`Test accuracy${onImages}`, testAccuracy === undefined ? undefined : percentHtml(testAccuracy, 2)],
    ['Training time', trainSeconds === undefined ? undefined : escapeHtml(durationText(trainSeconds))],
    ['Completeness residual, worst', completenessResidual === undefined ? undefined : scientificHtml(completenessResidual)],
    ['ONNX against engine, worst', onnxMaxAbsDiff === undefined ? undefined : scientificHtml(onnxMaxAbsDiff)],
    ['Parameters', parameters?.toLocaleString('en')],
    ['Engine', engine === undefined ? undefined : escapeHtml(engine), 'small'],
  ];
  const html = all.flatMap(([name, value, style]) =>
    value === undefined ? [] : [`<div><dt>${name}</dt><dd${style === undefined ? '' : ` class="${style}"`}>${value}</dd></div>`],
  );
  return html.length === 0 ? '' : `<dl class="figures-grid">${html.join('')}</dl>`;
}

const howToRead = [
  '<div class="read"><div><p>Each map shows where the score of the explained class comes from, as seen from one depth of the network: ',
  '<span class="for">red places speak for the class</span>, <span class="against">blue ones against it</span>, white ones are silent. ',
  'Full colour is the 99.5th percentile of the map’s own magnitudes, so compare patterns between maps, not shades.</p>',
  '<p class="scale"><span class="against">against</span><i></i><span class="for">for</span></p></div>',
  '<div><p>At a tap marked <span class="badge exact">exact</span> all layers above are dynamic linear: the map is the score, taken apart, and its sum is z − b<sub>0</sub>. ',
  'At a tap marked <span class="badge inexact">gradient × activation</span> a conventional stem lies in between: the map is a first-order hint, ',
  'and its residual says how far its sum is from the score.</p></div></div>',
  '<p><label class="switch"><input type="checkbox" id="over"> Lay the maps of all taps over their image</label></p>',
].join('');

function meanings(probability: 'sigmoid' | 'softmax'): string {
  const entries: [string, string][] = [
    [
      'Probability',
      probability === 'sigmoid'
        ? 'The sigmoid of a class’s logit. Each class is judged by itself, so the probabilities need not sum to 100 %.'
        : 'The softmax of the logits; the probabilities sum to 100 %.',
    ],
    ['z − b<sub>0</sub>', 'The logit of the explained class without the fixed bias b<sub>0</sub>: what the input contributed.'],
    ['Σ', 'The sum over all places of a map, each place already summed over its channels.'],
    [
      'Residual',
      '|Σ − (z − b<sub>0</sub>)| / |z − b<sub>0</sub>|. Zero means that the map accounts for the whole score. At exact taps only the rounding of 32-bit numbers is left.',
    ],
    ['Completeness residual', 'The largest residual of any image at any exact tap.'],
    ['Test accuracy', 'The share of test images whose most probable class is the true one.'],
    ['Training time', 'Wall-clock time of training on the machine that wrote this page, data downloads not counted.'],
    [
      'ONNX against engine',
      'The largest absolute difference between the outputs of the exported file in ONNX Runtime and those of the network.',
    ],
    ['Tap', 'A named depth of the network, from the input to the output; h×w is the resolution of its map.'],
  ];
  return `<dl class="meanings">${entries.map(([name, text]) => `<dt>${name}</dt><dd>${text}</dd>`).join('')}</dl>`;
}

const references = [
  '<ul><li>M. Böhle, M. Fritz, B. Schiele. <cite>Optimising for Interpretability: Convolutional Dynamic Alignment Networks.</cite> TPAMI 45(6), 2023. ',
  '<a href="https://arxiv.org/abs/2109.13004">arXiv 2109.13004</a></li>',
  '<li>M. Böhle, M. Fritz, B. Schiele. <cite>Convolutional Dynamic Alignment Networks for Interpretable Classifications.</cite> CVPR 2021. ',
  '<a href="https://arxiv.org/abs/2104.00032">arXiv 2104.00032</a></li></ul>',
  '<p>Hybrids, and maps from below the cut, are this project’s reconstruction of the first paper’s description.</p>',
].join('');

function footer({ seed, commit, engine }: ReportFigures): string {
  const parts = [
    'Written by coda-nets.',
    commit === undefined ? '' : `Commit <code>${escapeHtml(commit)}</code>.`,
    seed === undefined ? '' : `Seed ${seed}.`,
    engine === undefined ? '' : `Computed by ${escapeHtml(engine)}.`,
  ];
  return parts.filter((part) => part !== '').join(' ');
}
