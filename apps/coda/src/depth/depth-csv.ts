/** The figures of `results.json` as tables for a spreadsheet or a data frame. */
import type { DepthResults } from './depth-results.ts';

/** By file name. */
export function depthTables(results: DepthResults): Readonly<Record<string, string>> {
  return { 'summary.csv': summaryTable(results), 'localisation.csv': localisationTable(results), 'removal.csv': removalTable(results) };
}

function summaryTable({ models }: DepthResults): string {
  const rows = models.flatMap((model) =>
    model.methods.flatMap((method) =>
      method.taps.map(({ tap, exact, size, pool, upsample, residual, negativeMass }) => [
        model.name,
        method.name,
        tap,
        exact,
        ...size,
        pool?.summary.mean ?? '',
        pool?.summary.median ?? '',
        upsample.summary.mean,
        upsample.summary.median,
        residual.median,
        residual.max,
        negativeMass.median,
      ]),
    ),
  );
  const header =
    'model,method,tap,exact,height,width,pool mean,pool median,upsample mean,upsample median,residual median,residual max,negative mass median';
  return table(header, rows);
}

function localisationTable({ models, gridList: { n, grids } }: DepthResults): string {
  const cells = n * n;
  const rows = models.flatMap((model) =>
    model.methods.flatMap((method) =>
      method.taps.flatMap(({ tap, pool, upsample }) =>
        upsample.values.map((value, i) => {
          const [grid, cell] = [Math.floor(i / cells), i % cells];
          return [model.name, method.name, tap, grid, cell, grids[grid]?.classes[cell] ?? '', pool?.values[i] ?? '', value];
        }),
      ),
    ),
  );
  return table('model,method,tap,grid,cell,class,pool,upsample', rows);
}

function removalTable({ models }: DepthResults): string {
  const rows = models.flatMap((model) =>
    model.methods.flatMap((method) =>
      method.removal.flatMap(({ tap, order, removed, mean }) =>
        removed.map((share, i) => [model.name, method.name, tap, order, share, mean[i] ?? '']),
      ),
    ),
  );
  return table('model,method,tap,order,removed,probability', rows);
}

function table(header: string, rows: readonly (readonly (string | number | boolean)[])[]): string {
  return `${[header, ...rows.map((row) => row.map((x) => field(String(x))).join(','))].join('\n')}\n`;
}

/** RFC 4180; a leading sign of a formula is made text, for spreadsheets run those. */
function field(text: string): string {
  const safe = /^[=+@]|^-(?!\d)/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
