/** Accuracy and loss over epochs as two SVG charts, drawn without a browser: Observable Plot on linkedom's document. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { percentHtml } from './escape-html.ts';

/** Between the last point and its label. */
const LABEL_GAP = 8;
/** The widest that a letter or digit of 12 px semibold is on average in the report's fonts: 0.62 em. */
const LETTER_WIDTH = 7.5;

export interface EpochFigures {
  /** From 1. */
  readonly epoch: number;
  readonly trainLoss?: number | undefined;
  readonly trainAccuracy?: number | undefined;
  readonly validationLoss?: number | undefined;
  readonly validationAccuracy?: number | undefined;
}

interface Point {
  readonly epoch: number;
  readonly value: number;
}

interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly Point[];
}

/** HTML of both charts and of the table behind them; empty for no epochs. */
export function learningCurves(history: readonly EpochFigures[], heldOut: string): string {
  if (history.length === 0) return '';
  const accuracy = series(
    history,
    heldOut,
    (x) => x.trainAccuracy,
    (x) => x.validationAccuracy,
  );
  const loss = series(
    history,
    heldOut,
    (x) => x.trainLoss,
    (x) => x.validationLoss,
  );
  const charts = [
    chart('Accuracy', accuracy, (x) => `${Math.round(100 * x)}%`),
    chart('Loss', loss, (x) => String(Number(x.toPrecision(3)))),
  ];
  return `<div class="charts">${charts.join('')}</div>${table(history, heldOut)}`;
}

function series(
  history: readonly EpochFigures[],
  heldOut: string,
  ...values: readonly ((x: EpochFigures) => number | undefined)[]
): Series[] {
  return values.flatMap((valueOf, i) => {
    const points = history.flatMap((x): Point[] => {
      const value = valueOf(x);
      return value === undefined || !Number.isFinite(value) ? [] : [{ epoch: x.epoch, value }];
    });
    if (points.length === 0) return [];
    return [{ name: i === 0 ? 'train' : heldOut, colour: `var(--series-${i + 1})`, points }];
  });
}

function chart(title: string, allSeries: readonly Series[], format: (x: number) => string): string {
  if (allSeries.length === 0) return '';
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const points = allSeries.flatMap(({ points }) => points);
  const epochs = points.map(({ epoch }) => epoch);
  const [first, last] = [Math.min(...epochs), Math.max(...epochs)];
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
    ariaLabel: `${title} over epochs`,
    ariaDescription: allSeries.map(({ name, points }) => `${name} ends at ${format(points.at(-1)?.value as number)}`).join(', '),
    x: {
      label: 'epoch',
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks,
      tickFormat: String,
      domain: first === last ? [first - 1, last + 1] : [first, last],
    },
    y: { label: null, grid: true, ticks: 5, tickFormat: format, nice: true },
    marks: allSeries.flatMap(({ name, colour, points }, i) => [
      Plot.line(points, { x: 'epoch', y: 'value', stroke: colour, strokeWidth: 2, curve: 'linear' }),
      Plot.dot(points, { x: 'epoch', y: 'value', r: points.length > 40 ? 0 : 2.5, fill: colour }),
      Plot.text([points.at(-1) as Point], {
        x: 'epoch',
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

function endLabel(name: string, points: readonly Point[], format: (x: number) => string): string {
  return `${name} ${format(points.at(-1)?.value as number)}`;
}

/** Room for the longest label behind the last point. */
function endLabelWidth(allSeries: readonly Series[], format: (x: number) => string): number {
  const letters = Math.max(...allSeries.map(({ name, points }) => endLabel(name, points, format).length));
  return LABEL_GAP + Math.ceil(letters * LETTER_WIDTH);
}

/** Two labels that would lie on each other are moved apart. */
function labelShift(allSeries: readonly Series[], i: number): number {
  const ends = allSeries.map(({ points }) => points.at(-1)?.value as number);
  const values = allSeries.flatMap(({ points }) => points.map(({ value }) => value));
  const range = Math.max(...values) - Math.min(...values) || 1;
  const [mine, other] = [ends[i] as number, ends[1 - i]];
  if (other === undefined || Math.abs(mine - other) > 0.1 * range) return 0;
  return mine > other || (mine === other && i === 0) ? -7 : 7;
}

function table(history: readonly EpochFigures[], heldOut: string): string {
  const cell = (x: number | undefined, format: (x: number) => string): string =>
    `<td>${x === undefined || !Number.isFinite(x) ? '–' : format(x)}</td>`;
  const loss = (x: number): string => x.toFixed(4);
  const rows = history.map(
    (x) =>
      `<tr><th scope="row">${x.epoch}</th>${cell(x.trainAccuracy, percentHtml)}${cell(x.validationAccuracy, percentHtml)}` +
      `${cell(x.trainLoss, loss)}${cell(x.validationLoss, loss)}</tr>`,
  );
  return (
    `<details class="numbers"><summary>The same as a table</summary><div class="scroll"><table><thead><tr><th scope="col">Epoch</th>` +
    `<th scope="col">Accuracy, train</th><th scope="col">Accuracy, ${heldOut}</th><th scope="col">Loss, train</th>` +
    `<th scope="col">Loss, ${heldOut}</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></details>`
  );
}
