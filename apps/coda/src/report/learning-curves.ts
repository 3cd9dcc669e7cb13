/** Accuracy and loss over epochs as two charts, and the table behind them. */
import { percentHtml } from './escape-html.ts';
import { lineChart, type ChartPoint, type ChartSeries } from './line-chart.ts';

export interface EpochFigures {
  /** From 1. */
  readonly epoch: number;
  readonly trainLoss?: number | undefined;
  readonly trainAccuracy?: number | undefined;
  readonly validationLoss?: number | undefined;
  readonly validationAccuracy?: number | undefined;
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
  const charts = [lineChart('Accuracy', accuracy, { format: (x) => `${Math.round(100 * x)}%` }), lineChart('Loss', loss)];
  return `<div class="charts">${charts.join('')}</div>${table(history, heldOut)}`;
}

function series(
  history: readonly EpochFigures[],
  heldOut: string,
  ...values: readonly ((x: EpochFigures) => number | undefined)[]
): ChartSeries[] {
  return values.flatMap((valueOf, i) => {
    const points = history.flatMap((x): ChartPoint[] => {
      const value = valueOf(x);
      return value === undefined || !Number.isFinite(value) ? [] : [{ x: x.epoch, value }];
    });
    if (points.length === 0) return [];
    return [{ name: i === 0 ? 'train' : heldOut, colour: `var(--series-${i + 1})`, points }];
  });
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
