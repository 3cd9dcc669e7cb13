/** `coda bench depth`: depth profiles and two sampling methods here and in PyTorch with autograd, in one run; numbers are compared before times. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkAgreement, type Tolerances } from '../agreement.ts';
import { workNamed, type Bench, type BenchRun } from '../bench.ts';
import { interleave } from '../interleave.ts';
import type { PreparedWork } from '../prepared-work.ts';
import { writeDepthInputs, type DepthInputs } from './depth-inputs.ts';
import { depthReportLines, type DepthBenchRow } from './depth-report.ts';
import { depthTwins, type DepthTwins } from './depth-twins.ts';
import { depthWorks, type DepthBenchWork } from './depth-works.ts';
import { ourDepthWork } from './our-depth-work.ts';

/** Float32 through eleven layers in other orders of summation. */
const TOLERANCES: Tolerances = { pool: 1e-4, upsample: 1e-4, map: 1e-4 };

export const depthBench: Bench = {
  name: 'depth',
  description: 'depth profiles, RISE and IntGrad of a hybrid, against PyTorch with autograd',
  works: depthWorks.map(({ id }) => id),
  run: async (options) => {
    const chosen = options.works === undefined ? depthWorks : options.works.map((id) => workNamed(depthWorks, id, 'bench depth: --works'));
    const folder = await mkdtemp(join(tmpdir(), 'coda-bench-depth-'));
    let twins: DepthTwins | undefined;
    try {
      twins = await depthTwins(options, folder);
      const inputs = await writeDepthInputs(folder, options.seed);
      const rows: DepthBenchRow[] = [];
      for (const work of chosen) if (!options.signal.aborted) rows.push(await measured(work, inputs, twins, options));
      for (const line of depthReportLines(rows)) options.io.say(line);
      return { twins: twins?.description, rows, finished: !options.signal.aborted };
    } finally {
      await twins?.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function measured(work: DepthBenchWork, inputs: DepthInputs, twins: DepthTwins | undefined, run: BenchRun): Promise<DepthBenchRow> {
  const { engines, rounds, quick, io, signal } = run;
  const parameters = work.parameters(quick);
  const prepared: PreparedWork[] = [];
  try {
    for (const engine of engines) prepared.push(await ourDepthWork(work, inputs, engine, parameters));
    for (const { name, kind } of twins === undefined ? [] : work.twins) {
      prepared.push(await (twins as DepthTwins).prepare(name, kind, inputs.files, parameters));
    }
    const [first, ...others] = prepared;
    const expected = await (first as PreparedWork).results();
    let deviation: number | undefined;
    for (const other of others) {
      const names = [other.name, (first as PreparedWork).name] as const;
      const found = checkAgreement(`bench depth: ${work.label}`, names, await other.results(), expected, TOLERANCES);
      deviation = Math.max(deviation ?? 0, found.deviation);
    }
    // who takes seconds must have run before
    for (const one of prepared) await one.measure(1);
    const bar = io.progress(work.label, rounds * prepared.length, 'samples');
    let done = 0;
    const { timings, otherProcessors } = await interleave(prepared, {
      rounds,
      stopped: () => signal.aborted,
      onSample: () => bar.update(++done),
    }).finally(() => bar.stop());
    const { id, label, goal, unit } = work;
    return { id, label, goal, unit, parameters, timings, deviation, otherProcessors };
  } finally {
    await Promise.allSettled(prepared.map((one) => one.release()));
  }
}
