/** What `coda bench depth` measured, as lines of a table. */
import type { JsonObject } from '@coda-nets/core';
import type { Timing } from '../interleave.ts';
import { milliseconds, ratio, textTable } from '../text-table.ts';
import type { DepthBenchWork } from './depth-works.ts';

export interface DepthBenchRow {
  readonly id: string;
  readonly label: string;
  readonly goal: number;
  readonly unit: DepthBenchWork['unit'];
  readonly parameters: JsonObject;
  readonly timings: readonly Timing[];
  /** Largest difference to the twins, of its largest value. */
  readonly deviation: number | undefined;
  readonly otherProcessors: number;
}

export function depthReportLines(rows: readonly DepthBenchRow[]): readonly string[] {
  const cells = rows.flatMap(({ label, goal, unit, timings, deviation, otherProcessors }) => {
    const [own] = timings;
    return timings.map((timing, i) => [
      i === 0 ? label : '',
      timing.name,
      milliseconds(timing.medianMs),
      `${(60_000 / timing.medianMs).toFixed(1)} ${unit}/min`,
      i === 0 || own === undefined ? '' : ratio(timing.medianMs / own.medianMs),
      i === 0 || own === undefined ? '' : ratio(timing.medianProcessorMs / own.medianProcessorMs),
      i === 1 ? ratio(goal) : '',
      i === 0 ? (deviation?.toExponential(1) ?? '') : '',
      i === 0 ? otherProcessors.toFixed(2) : '',
    ]);
  });
  const header = [
    'median of one call',
    'by',
    'time',
    'rate',
    '/ ours',
    'processor',
    'goal',
    'largest deviation',
    'processors busy with other work',
  ];
  return textTable(header, cells);
}
