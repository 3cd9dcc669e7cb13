/** The figures of a depth analysis as SVG, drawn without a browser: Observable Plot on linkedom's document. Colours are written out, so that files stand by themselves. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import sharp from 'sharp';
import { escapeHtml } from '../report/escape-html.ts';
import { valuesOf, type DepthResults, type ModelResult } from './depth-results.ts';

export interface DepthChart {
  /** Of a file, without its ending. */
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  readonly svg: string;
}

/** After Okabe and Ito, who chose them to be told apart by everybody; more methods than that begin again. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#7f6000', '#5b5b5b'];
const INK = '#1d2128';
const WIDTH = 960;
/** Of a line of the legend. */
const LEGEND = 22;
/** Room for the numbers and the name of the vertical axis. */
const LEFT = 62;
const SAME = ' Where methods agree, the first covers the others.';
/** Room for the names of facets. */
const FACET_TOP = 32;
const SHARE = { domain: [0, 1], grid: true, ticks: 5, labelArrow: 'none', labelAnchor: 'center' } as const;
/** Of letters at 13 px in the widest of the fonts: an m, an i, any other. */
const LETTERS = { wide: 12.5, narrow: 4.6, other: 8.2 } as const;
/** Below a figure whose names of taps stand level. */
const BOTTOM = 46;
/** Width of a name that stands upright, and its letters at most. */
const UPRIGHT = 15;
const MOST_LETTERS = 24;

export function depthCharts(results: DepthResults): readonly DepthChart[] {
  const names = [...new Set(results.models.flatMap(({ methods }) => methods.map(({ name }) => name)))];
  const colours = new Map(names.map((name, i) => [name, COLOURS[i % COLOURS.length] as string]));
  return [
    ...results.models.map((model, i) => boxes(results, model, i, colours)),
    profiles(results, colours),
    ...results.models.flatMap((model, i) => removals(model, i, colours)),
  ];
}

/** Twice the size of the SVG. */
export async function chartPng({ svg }: DepthChart): Promise<Uint8Array> {
  return new Uint8Array(
    await sharp(Buffer.from(svg), { density: 144 }).flatten({ background: '#ffffff' }).png({ compressionLevel: 9 }).toBuffer(),
  );
}

type Colours = ReadonlyMap<string, string>;

function boxes(results: DepthResults, model: ModelResult, index: number, colours: Colours): DepthChart {
  const { scoring, gridList } = results;
  const rows = model.methods.flatMap(({ name: method, taps }) =>
    taps.map((tap) => {
      const sorted = valuesOf(tap, scoring).values.toSorted((a, b) => a - b);
      const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] as number;
      return { method, tap: tap.tap, low: at(0.05), q1: at(0.25), median: at(0.5), q3: at(0.75), high: at(0.95) };
    }),
  );
  const methods = model.methods.map(({ name }) => name);
  const place = { fx: 'tap', x: 'method' } as const;
  const taps = model.taps.map(({ name }) => name);
  const { below, ...names } = namesOfTaps(taps);
  const svg = draw(
    {
      height: 304 + below,
      marginLeft: LEFT,
      marginBottom: below,
      marginTop: 14,
      fx: { domain: taps, ...names, label: 'tap, from the input to the output', labelAnchor: 'center', padding: 0.12 },
      x: { domain: methods, axis: null, padding: 0.15 },
      y: { ...SHARE, label: 'localisation, share in the class’s cell' },
      color: { domain: methods, range: methods.map((name) => colours.get(name) as string) },
      marks: [
        Plot.ruleY([1 / gridList.n ** 2], { stroke: INK, strokeDasharray: '3 3' }),
        Plot.ruleX(rows, { ...place, y1: 'low', y2: 'high', stroke: 'method' }),
        Plot.barY(rows, { ...place, y1: 'q1', y2: 'q3', fill: 'method' }),
        Plot.tickY(rows, { ...place, y: 'median', stroke: INK, strokeWidth: 2 }),
      ],
    },
    [...methods.map((name) => ({ name, colour: colours.get(name) as string })), uniformEntry(gridList.n)],
    `Localisation of ${model.name} by tap and method`,
  );
  return {
    id: `localisation-${index}`,
    title: `${model.name}: localisation at every tap`,
    caption: `From the input (left) to the output. Box: quartiles; mark: median; line: 5 to 95 %; ${results.gridList.grids.length * gridList.n ** 2} values each, scoring ${scoring}. Dashed: uniform maps, 1/${gridList.n ** 2}.`,
    svg,
  };
}

function profiles(results: DepthResults, colours: Colours): DepthChart {
  const { models, scoring, gridList } = results;
  const many = models.length > 1;
  const rows = models.flatMap((model) =>
    model.methods.flatMap((method) =>
      method.taps.map((tap) => ({
        model: model.name,
        method: method.name,
        depth: model.taps.length - 1 - model.taps.findIndex(({ name }) => name === tap.tap),
        median: valuesOf(tap, scoring).summary.median,
        exact: tap.exact,
      })),
    ),
  );
  // where two are the same, the first method is to be seen
  const below = rows.toReversed();
  const methods = [...colours.keys()];
  const depths = models.flatMap((model) => model.methods.map(({ interpretableDepth }) => interpretableDepth?.threshold));
  const threshold = depths.find((tau) => tau !== undefined) ?? 0.5;
  const most = Math.max(...models.map(({ taps }) => taps.length)) - 1;
  const taps = (models[0]?.taps ?? []).map(({ name }) => name);
  const named = !many && taps.length * UPRIGHT <= WIDTH - LEFT;
  const {
    below: bottom,
    tickFormat: nameOf,
    tickRotate,
  } = named ? namesOfTaps(taps) : { below: BOTTOM, tickFormat: String, tickRotate: 0 };
  const at = { x: 'depth', y: 'median', stroke: 'method', ...(many && { fx: 'model' }) } as const;
  const svg = draw(
    {
      height: 284 + bottom,
      marginLeft: LEFT,
      marginBottom: bottom,
      marginTop: many ? FACET_TOP : 14,
      x: {
        domain: [0, most],
        ticks: Array.from({ length: most + 1 }, (_, i) => i),
        tickRotate,
        tickFormat: named ? (depth: number) => nameOf(taps.at(-1 - depth) ?? '') : String,
        label: named ? 'tap, from the output to the input' : 'taps from the output: 0 is the last layer, the input is on the right',
        labelArrow: 'none',
        labelAnchor: 'center',
      },
      y: { ...SHARE, label: 'median localisation, share in the class’s cell' },
      ...(many && { fx: { label: null, domain: models.map(({ name }) => name), padding: 0.06 } }),
      color: { domain: methods, range: methods.map((name) => colours.get(name) as string) },
      marks: [
        Plot.ruleY([1 / gridList.n ** 2], { stroke: INK, strokeDasharray: '3 3' }),
        Plot.ruleY([threshold], { stroke: INK, strokeOpacity: 0.35 }),
        Plot.line(below, { ...at, strokeWidth: 2 }),
        Plot.dot(
          below.filter(({ exact }) => !exact),
          { ...at, fill: '#ffffff', r: 3.5 },
        ),
        Plot.dot(
          below.filter(({ exact }) => exact),
          { ...at, fill: 'method', r: 3.5 },
        ),
      ],
    },
    [
      ...methods.map((name) => ({ name, colour: colours.get(name) as string })),
      uniformEntry(gridList.n),
      { name: `threshold ${threshold}`, colour: INK, mark: 'thin line' },
      { name: 'exact', colour: INK, mark: 'filled dot' },
      { name: 'not exact', colour: INK, mark: 'hollow dot' },
    ],
    'Median localisation over depth',
  );
  return {
    id: 'depth-profile',
    title: 'Depth profile',
    caption: `Median localisation, from the output (left) towards the input. Filled: contributions that sum to the score; hollow: everything else. Dashed: uniform maps; grey line: the threshold of interpretable depth.${SAME}`,
    svg,
  };
}

function removals(model: ModelResult, index: number, colours: Colours): DepthChart[] {
  const taps = [...new Set(model.methods.flatMap(({ removal }) => removal.map(({ tap }) => tap)))];
  return taps.map((tap) => {
    const curves = model.methods.flatMap(({ name: method, removal }) =>
      removal.filter((one) => one.tap === tap).map((one) => ({ ...one, method })),
    );
    const rows = curves.flatMap(({ method, order, removed, mean }) =>
      removed.map((share, i) => ({
        method,
        order: order === 'least' ? 'least important first' : 'most important first',
        share,
        p: mean[i] as number,
      })),
    );
    const methods = [...new Set(curves.map(({ method }) => method))];
    const images = curves[0]?.images ?? 0;
    const svg = draw(
      {
        height: 310,
        marginLeft: LEFT,
        marginBottom: 46,
        marginTop: FACET_TOP,
        fx: { label: null, domain: ['least important first', 'most important first'], padding: 0.08 },
        x: {
          label: 'positions removed, % of all',
          labelArrow: 'none',
          labelAnchor: 'center',
          tickFormat: (x: number) => String(Math.round(100 * x)),
          ticks: 5,
        },
        y: { ...SHARE, label: 'probability of the true class' },
        color: { domain: methods, range: methods.map((name) => colours.get(name) as string) },
        marks: [Plot.line(rows.toReversed(), { x: 'share', y: 'p', stroke: 'method', fx: 'order', strokeWidth: 2 })],
      },
      methods.map((name) => ({ name, colour: colours.get(name) as string })),
      `Probability of the true class of ${model.name} as positions of ${tap} are removed`,
    );
    return {
      id: `removal-${index}-${tap.replaceAll(/[^\w.-]/g, '_')}`,
      title: `${model.name}: removal at ${tap}`,
      caption: `Mean probability of the true class over ${images} test ${images === 1 ? 'image' : 'images'}. Least first: higher is better; most first: lower is better.${SAME}`,
      svg,
    };
  });
}

interface LegendEntry {
  readonly name: string;
  readonly colour: string;
  /** Default: a square of the colour. */
  readonly mark?: 'dashed line' | 'thin line' | 'filled dot' | 'hollow dot';
}

function uniformEntry(n: number): LegendEntry {
  return { name: `uniform map, 1/${n ** 2}`, colour: INK, mark: 'dashed line' };
}

function legendMark({ colour, mark }: LegendEntry, left: number, top: number): string {
  const line = `<line x1="${left}" x2="${left + 12}" y1="${top + 6}" y2="${top + 6}" stroke="${colour}"`;
  switch (mark) {
    case 'dashed line':
      return `${line} stroke-dasharray="3 3"/>`;
    case 'thin line':
      return `${line} stroke-opacity="0.35"/>`;
    case 'filled dot':
    case 'hollow dot':
      return `<circle cx="${left + 6}" cy="${top + 6}" r="4" stroke="${colour}" stroke-width="1.5" fill="${mark === 'filled dot' ? colour : '#ffffff'}"/>`;
    default:
      return `<rect x="${left}" y="${top}" width="12" height="12" fill="${colour}"/>`;
  }
}

function textWidth(text: string): number {
  const kinds = Array.from(text, (letter) => (/[mwMW]/.test(letter) ? 'wide' : /[fijlrtI.,: ]/.test(letter) ? 'narrow' : 'other'));
  return kinds.reduce((sum, kind) => sum + LETTERS[kind], 0);
}

/** How the names of taps stand below a figure: level where each has the room, else upright, with `below` as much room as they take. Of long ones the end, in which they differ. */
function namesOfTaps(taps: readonly string[]): { below: number; tickRotate: number; tickFormat: (name: string) => string } {
  const tickFormat = (name: string): string => (name.length > MOST_LETTERS ? `…${name.slice(1 - MOST_LETTERS)}` : name);
  const widest = Math.max(...taps.map((name) => textWidth(tickFormat(name))));
  if (widest + 10 <= (WIDTH - LEFT) / taps.length) return { below: BOTTOM, tickRotate: 0, tickFormat };
  return { below: BOTTOM - 10 + Math.ceil(widest), tickRotate: -90, tickFormat };
}

/** A plot below its legend, which takes as many lines as it needs, as one SVG with all it needs. */
function draw(options: Plot.PlotOptions, legend: readonly LegendEntry[], label: string): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const svg = Plot.plot({
    ...options,
    document: document as unknown as NonNullable<Plot.PlotOptions['document']>,
    width: WIDTH,
    style: { background: 'none', color: INK, fontSize: '12px', fontFamily: 'system-ui, sans-serif' },
  });
  // Plot's style sheet is for pages, in which it would reach other figures
  for (const style of svg.querySelectorAll('style')) style.remove();
  let [left, top] = [LEFT, 8];
  const entries = legend.map((entry) => {
    const width = 17 + textWidth(entry.name) + 18;
    if (left > LEFT && left + width > WIDTH) [left, top] = [LEFT, top + LEGEND];
    const text = `${legendMark(entry, left, top)}<text x="${left + 17}" y="${top + 10}">${escapeHtml(entry.name)}</text>`;
    left += width;
    return text;
  });
  const above = top + LEGEND;
  const height = (options.height ?? 0) + above;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(label)}" `,
    `font-family="system-ui, sans-serif" font-size="13" fill="${INK}">${entries.join('')}<g transform="translate(0 ${above})">${svg.outerHTML}</g></svg>`,
  ].join('');
}
