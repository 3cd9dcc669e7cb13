/** What `coda bench dau` found, as tables for people: times, ratios beside their goals, shares of the machine's peak. */
import { megabytes, milliseconds, ratio, textTable } from '../text-table.ts';
import type { Timing } from '../interleave.ts';
import type { DauBenchResult, DauMemoryRow, DauRow } from './dau-bench.ts';
import { twinForms, type TwinForm } from './twins.ts';

/** Above this many busy processors of others, the report says so. */
const NOISE = 0.1;

const shortNames: Readonly<Record<string, string>> = { published: 'P', 'low-rank': 'L', 'published, tap by tap': 'P tap by tap' };

export function reportLines(result: DauBenchResult): readonly string[] {
  const { rows, memory, peaks, twins } = result;
  const lines: string[] = [];
  const peak = peaks[0]?.gflops ?? Number.NaN;
  if (rows.length > 0) {
    const names = [...new Set(rows.flatMap(({ timings }) => timings.map(({ name }) => name)))];
    const forms = twinForms.filter((form) => names.includes(form));
    const header = [
      'median of one call',
      ...names.map((name) => shortNames[name] ?? name),
      ...forms.flatMap((form) => [`${shortNames[form]} / ours`, 'processor', 'goal']),
      ...names.slice(0, 1 + forms.length).map((name) => `peak ${shortNames[name] ?? name}`),
    ];
    lines.push(
      ...textTable(
        header,
        rows.map((row) => cellsOf(row, names, forms, peak)),
      ),
    );
  }
  if (memory.length > 0) lines.push('', ...memoryTable(memory));
  if (rows.length > 0) lines.push('', ...notes(result));
  if (twins === undefined) lines.push('PyTorch was not measured: there are no ratios.');
  return lines;
}

function cellsOf(row: DauRow, names: readonly string[], forms: readonly TwinForm[], peak: number): readonly string[] {
  const timing = (name: string): Timing | undefined => row.timings.find((candidate) => candidate.name === name);
  const ms = (name: string): number | undefined => timing(name)?.medianMs;
  const ours = row.timings[0];
  const share = (name: string): string => {
    const time = ms(name);
    return time === undefined ? '' : percent(row.flops / time / 1e6 / peak);
  };
  return [
    row.label,
    ...names.map((name) => (ms(name) === undefined ? '' : milliseconds(ms(name) as number))),
    ...forms.flatMap((form) => {
      const goal = row.goals[form];
      const over = (of: 'medianMs' | 'medianProcessorMs'): string => ratio((timing(form)?.[of] ?? Number.NaN) / (ours?.[of] ?? Number.NaN));
      return [over('medianMs'), over('medianProcessorMs'), goal === undefined ? '' : `≥ ${goal}×`];
    }),
    ...names.slice(0, 1 + forms.length).map(share),
  ];
}

function memoryTable(memory: readonly DauMemoryRow[]): readonly string[] {
  const names = memory[0]?.peaks.map(({ name }) => name) ?? [];
  const rows = memory.map(({ label, goal, peaks }) => {
    const bytes = (name: string): number => peaks.find((peak) => peak.name === name)?.bytes ?? Number.NaN;
    const published = bytes('published');
    const share = Number.isNaN(published) ? '' : (bytes(names[0] as string) / published).toFixed(2);
    return [label, ...names.map((name) => megabytes(bytes(name))), share, `≤ ${goal}`];
  });
  return textTable(['peak memory above the imports', ...names.map((name) => shortNames[name] ?? name), 'ours / P', 'goal'], rows);
}

function notes({ rows, peaks, twins }: DauBenchResult): readonly string[] {
  const lines = [
    `peak: share of ${peaks[0]?.gflops.toFixed(0)} GFLOP/s (${peaks[0]?.name}), by the operations of the low-rank form for all: ${rows.map(({ id, flops }) => `${id} ${(flops / 1e9).toFixed(1)} GFLOP`).join(', ')}`,
  ];
  for (const { label, timings } of rows) {
    const tapByTap = timings.find(({ name }) => name === 'published, tap by tap');
    if (tapByTap !== undefined)
      lines.push(`${label}: P tap by tap / ours ${ratio(tapByTap.medianMs / (timings[0]?.medianMs ?? Number.NaN))}`);
  }
  if (twins !== undefined) {
    lines.push(
      `P: the published form, L: the low-rank form, both in eager ${twins}, Adam fused; P at all taps: one backward pass for all, better than tap by tap`,
      'numbers agree: every row compared logits, maps, loss and gradients before it measured',
    );
  }
  const noise = Math.max(...rows.map(({ otherProcessors }) => otherProcessors));
  if (noise > NOISE) {
    const best = Math.max(...peaks.map(({ processorGflops }) => processorGflops));
    const shares = rows.map(
      ({ id, flops, timings }) => `${id} ${percent(flops / (timings[0]?.medianProcessorMs ?? Number.NaN) / 1e6 / best)}`,
    );
    lines.push(
      `NOISE: other work kept up to ${noise.toFixed(1)} processors busy: times by the clock are not to be trusted, those of processors are better`,
      `share of the peak by processor time, ours: ${shares.join(', ')}`,
    );
  }
  return lines;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
