/** What `coda bench engine` found, as tables for people: times, ratios beside their goals, starts, memory. */
import type { Timing } from '../interleave.ts';
import { megabytes, milliseconds, ratio, textTable } from '../text-table.ts';
import type { AloneRow, EngineBenchResult, EngineRow } from './engine-bench.ts';
import { TWIN } from './torch-twin.ts';

/** Above this many busy processors of others, the report says so. */
const NOISE = 0.1;

export function reportLines({ rows, alone, twin }: EngineBenchResult): readonly string[] {
  const runs = rows.filter(({ work }) => work.kind !== 'taps');
  const taps = rows.filter(({ work }) => work.kind === 'taps');
  const tables = [runTable(runs), tapsTable(taps), aloneTable(alone)].filter((lines) => lines.length > 0);
  const lines = tables.flatMap((table, i) => (i === 0 ? table : ['', ...table]));
  const noise = Math.max(0, ...rows.map(({ otherProcessors }) => otherProcessors));
  if (noise > NOISE) {
    lines.push('', `NOISE: other work kept up to ${noise.toFixed(1)} processors busy meanwhile: trust ratios more than times, and repeat.`);
  }
  const agreements = rows.flatMap(({ label, agreement }) =>
    Object.entries(agreement).map(([name, a]) => `${label}: ${name} ${a.worst} ${a.deviation.toExponential(1)}`),
  );
  if (agreements.length > 0) lines.push('', 'largest deviations:', ...agreements.map((line) => `  ${line}`));
  if (twin === undefined) lines.push('PyTorch was not measured: there are no ratios to it.');
  return lines;
}

const timing = ({ timings }: EngineRow, name: string): Timing | undefined => timings.find((candidate) => candidate.name === name);
const time = (row: EngineRow, name: string): string => {
  const found = timing(row, name);
  return found === undefined ? '' : milliseconds(found.medianMs);
};

function runTable(rows: readonly EngineRow[]): readonly string[] {
  if (rows.length === 0) return [];
  const names = [...new Set(rows.flatMap(({ timings }) => timings.map(({ name }) => name)))];
  const over = (row: EngineRow, of: 'medianMs' | 'medianProcessorMs'): string => {
    const [torch, ours] = [timing(row, TWIN)?.[of], row.timings[0]?.[of]];
    return torch === undefined || ours === undefined ? '' : ratio(torch / ours);
  };
  return textTable(
    ['median of one call', ...names, `${TWIN} / ours`, 'processor', 'goal'],
    rows.map((row) => {
      const goal = row.work.kind === 'forward' ? row.work.goal : undefined;
      const wanted = goal === undefined ? '' : `≥ ${goal}×`;
      return [row.label, ...names.map((name) => time(row, name)), over(row, 'medianMs'), over(row, 'medianProcessorMs'), wanted];
    }),
  );
}

function tapsTable(rows: readonly EngineRow[]): readonly string[] {
  if (rows.length === 0) return [];
  return textTable(
    ['median of one call', 'no tap', 'each stage', 'each block', 'stages / none', 'blocks / none', 'goal'],
    rows.map((row) => {
      const over = (name: string): string => {
        const [of, none] = [timing(row, name), timing(row, 'none')];
        return of === undefined || none === undefined ? '' : ratio(of.medianMs / none.medianMs);
      };
      const goal = row.work.kind === 'taps' ? `≤ ${row.work.goal}×` : '';
      return [row.label, time(row, 'none'), time(row, 'stages'), time(row, 'blocks'), over('stages'), over('blocks'), goal];
    }),
  );
}

function aloneTable(rows: readonly AloneRow[]): readonly string[] {
  if (rows.length === 0) return [];
  return textTable(
    ['a process of its own', 'time', 'goal', TWIN, 'peak memory', TWIN, 'ours / other', 'goal'],
    rows.map(({ work, label, ours, torch, fileBytes }) => {
      const isTimed = work.kind === 'start' || work.kind === 'load';
      const other = fileBytes ?? torch?.bytes;
      return [
        label,
        isTimed ? milliseconds(ours.ms) : '',
        isTimed ? `≤ ${milliseconds(work.goalMs)}` : '',
        torch?.ms === undefined ? '' : milliseconds(torch.ms),
        megabytes(ours.bytes),
        torch?.bytes === undefined ? '' : megabytes(torch.bytes),
        other === undefined ? '' : `${(ours.bytes / other).toFixed(2)}${fileBytes === undefined ? '' : ' of the file'}`,
        work.kind === 'load' ? `≤ ${work.goalMemory}` : '',
      ];
    }),
  );
}
