/** One chart of lines as SVG, drawn without a browser: Observable Plot on linkedom's document. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** Between the last point and its label. */
const LABEL_GAP = 8;
/** The widest that a letter or digit of 12 px semibold is on average in the report's fonts: 0.62 em. */
const LETTER_WIDTH = 7.5;
/** From one label to the next below it. */
const LABEL_HEIGHT = 14;
/** What the axes leave of a chart. */
const PLOT_HEIGHT = 184;

export interface ChartPoint {
  readonly x: number;
  readonly value: number;
}

export interface ChartSeries {
  readonly name: string;
  readonly colour: string;
  /** At least one, from left to right. */
  readonly points: readonly ChartPoint[];
}

export interface ChartOptions {
  readonly format?: (x: number) => string;
  /** What x counts. */
  readonly axis?: string;
}

/** HTML of one chart; empty without a point. */
export function lineChart(
  title: string,
  allSeries: readonly ChartSeries[],
  { format = (x) => String(Number(x.toPrecision(3))), axis = 'epoch' }: ChartOptions = {},
): string {
  if (allSeries.every(({ points }) => points.length === 0)) return '';
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const points = allSeries.flatMap(({ points }) => points);
  const xs = points.map(({ x }) => x);
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const step = Math.max(1, Math.ceil((last - first) / 6));
  const ticks = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step);
  const svg = Plot.plot({
    document: document as unknown as NonNullable<Plot.PlotOptions['document']>,
    width: 440,
    height: 240,
    marginLeft: 44,
    marginRight: endLabelWidth(allSeries, format),
    marginBottom: 36,
    style: { background: 'none', color: 'inherit', fontSize: '12px', fontFamily: 'inherit', overflow: 'visible' },
    ariaLabel: `${title} over ${axis}s`,
    ariaDescription: allSeries.map(({ name, points }) => `${name} ends at ${format(points.at(-1)?.value as number)}`).join(', '),
    x: {
      label: axis,
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks,
      tickFormat: String,
      domain: first === last ? [first - 1, last + 1] : [first, last],
    },
    y: { label: null, grid: true, ticks: 5, tickFormat: format, nice: true },
    marks: allSeries.flatMap(({ name, colour, points }, i) => [
      Plot.line(points, { x: 'x', y: 'value', stroke: colour, strokeWidth: 2, curve: 'linear' }),
      Plot.dot(points, { x: 'x', y: 'value', r: points.length > 40 ? 0 : 2.5, fill: colour }),
      Plot.text([points.at(-1) as ChartPoint], {
        x: 'x',
        y: 'value',
        text: () => endLabel(name, points, format),
        textAnchor: 'start',
        dx: LABEL_GAP,
        dy: labelShift(allSeries, i),
        fill: colour,
        fontWeight: 600,
      }),
    ]),
  });
  return `<figure class="chart"><figcaption>${title}</figcaption>${svg.outerHTML}</figure>`;
}

function endLabel(name: string, points: readonly ChartPoint[], format: (x: number) => string): string {
  return `${name} ${format(points.at(-1)?.value as number)}`;
}

/** Room for the longest label behind the last point. */
function endLabelWidth(allSeries: readonly ChartSeries[], format: (x: number) => string): number {
  const letters = Math.max(...allSeries.map(({ name, points }) => endLabel(name, points, format).length));
  return LABEL_GAP + Math.ceil(letters * LETTER_WIDTH);
}

/** Two labels that would lie on each other are moved apart. */
function labelShift(allSeries: readonly ChartSeries[], i: number): number {
  const ends = allSeries.map(({ points }) => points.at(-1)?.value as number);
  const values = allSeries.flatMap(({ points }) => points.map(({ value }) => value));
  const range = Math.max(...values) - Math.min(...values) || 1;
  if (allSeries.length > 2) return spread(ends.map((end) => (-PLOT_HEIGHT * end) / range))[i] as number;
  const [mine, other] = [ends[i] as number, ends[1 - i]];
  if (other === undefined || Math.abs(mine - other) > 0.1 * range) return 0;
  return mine > other || (mine === other && i === 0) ? -7 : 7;
}

/** How far each of these heights, in pixels downwards, has to move so that no two labels overlap. */
function spread(heights: readonly number[]): readonly number[] {
  const moved = [...heights];
  const order = [...heights.keys()].sort((a, b) => (heights[a] as number) - (heights[b] as number) || a - b);
  for (const [k, i] of order.entries()) {
    const above = order[k - 1];
    if (above !== undefined) moved[i] = Math.max(moved[i] as number, (moved[above] as number) + LABEL_HEIGHT);
  }
  const middle = (moved.reduce((sum, y) => sum + y, 0) - heights.reduce((sum, y) => sum + y, 0)) / heights.length;
  return moved.map((y, i) => y - middle - (heights[i] as number));
}
