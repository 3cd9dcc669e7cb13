/** Training steps of TensorFlow.js on TensorFlow, by these packages and as one writes them with tfjs-node alone, in one run. Part of `coda bench engine`. */
import { ndArray, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import { initialSlots, optimiser, slotName, trainingStep } from '@coda-nets/train';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandIo } from '../../command-io.ts';
import { checkAgreement, type Agreement, type Tolerances } from '../agreement.ts';
import { interleave, measureCalls, type Interleaved } from '../interleave.ts';
import type { PreparedWork } from '../prepared-work.ts';
import { milliseconds, ratio, textTable } from '../text-table.ts';
import { eagerInputs, type EagerWork } from './eager-works.ts';
import { PLAIN, startPlainTwin } from './plain-twin.ts';

/**
 * Largest |a − b| over largest |b|. Losses and statistics are sums over the batch; the gradient of a rectifier jumps where its input is 0, and of some millions of
 * inputs a few are so near to it that they are on one side in one order of summation and on the other in another.
 */
const tolerances: Tolerances = { loss: 1e-5, statistic: 1e-5, gradient: 1e-3 };

export interface EagerBenchOptions {
  /** TensorFlow's. */
  readonly engine: Engine;
  readonly works: readonly EagerWork[];
  readonly rounds: number;
  readonly seed: number;
  readonly io: CommandIo;
  readonly signal?: AbortSignal;
}

export interface EagerRow extends Interleaved {
  readonly id: string;
  readonly label: string;
  readonly goal: number;
  readonly agreement: Agreement;
}

/** Throws a CodaError where the two compute different numbers. */
export async function eagerBench({ engine, works, rounds, seed, io, signal }: EagerBenchOptions): Promise<readonly EagerRow[]> {
  const folder = await mkdtemp(join(tmpdir(), 'coda-bench-'));
  const twin = await startPlainTwin(folder);
  const rows: EagerRow[] = [];
  try {
    for (const work of works) {
      if (signal?.aborted === true) break;
      const { id, label, goal } = work;
      const prepared = [await twin.work(work, seed), await ourWork(work, seed, engine)] as const;
      try {
        const [plain, ours] = [await prepared[0].results(), await prepared[1].results()];
        const agreement = checkAgreement(`bench: ${label}`, [prepared[1].name, PLAIN], ours, plain, tolerances);
        const bar = io.progress(label, 2 * rounds, 'samples');
        let done = 0;
        const stopped = (): boolean => signal?.aborted === true;
        const measured = await interleave(prepared, { rounds, stopped, onSample: () => bar.update(++done) }).finally(() => bar.stop());
        rows.push({ id, label, goal, agreement, ...measured });
      } finally {
        // where a process has ended, so has what it held
        await Promise.allSettled(prepared.map((one) => one.release()));
      }
    }
    return rows;
  } finally {
    await twin.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function ourWork(work: EagerWork, seed: number, engine: Engine): Promise<PreparedWork> {
  const { network, weights, images, labels } = eagerInputs(work, seed);
  const optimise = optimiser(work.optimiser);
  const step = trainingStep({ network, optimiser: optimise, batchSize: work.batch });
  const compiled = await engine.compile(step.fn, step.signature(weights, initialSlots(optimise, network.weights)));
  let steps = 0;
  const run = (): Promise<NamedArrays> =>
    compiled.run({ images, labels, ...step.scalars({ learningRate: work.learningRate, step: ++steps }) });
  // after the first step m is the gradient, of Adam times 1 − β₁
  const share = 'beta1' in work.optimiser ? 1 - work.optimiser.beta1 : 1;
  return {
    name: `ours (${engine.name})`,
    measure: (repeats) => measureCalls(run, repeats),
    results: async () => {
      const { loss } = await run();
      const carried = await compiled.carried();
      const arrays = Object.entries(network.weights).map(([name, { role }]) => {
        if (role === 'statistic') return [`statistic/${name}`, carried[name] as NdArray] as const;
        const { data, shape } = carried[slotName(name, 'm')] as NdArray<'float32'>;
        return [
          `gradient/${name}`,
          ndArray(
            'float32',
            shape,
            data.map((m) => m / share),
          ),
        ] as const;
      });
      return { loss: loss as NdArray, ...Object.fromEntries(arrays) };
    },
    release: () => compiled.dispose(),
  };
}

/** For people. */
export function eagerLines(rows: readonly EagerRow[]): readonly string[] {
  if (rows.length === 0) return [];
  const table = textTable(
    ['median of one call', PLAIN, 'ours (tensorflow)', 'alone / ours', 'processor', 'goal', 'apart'],
    rows.map(({ label, timings, goal, agreement }) => {
      const [plain, ours] = timings;
      const over = (of: 'medianMs' | 'medianProcessorMs'): string =>
        plain === undefined || ours === undefined ? '' : ratio(plain[of] / ours[of]);
      const times = [plain, ours].map((one) => (one === undefined ? '' : milliseconds(one.medianMs)));
      const apart = `${agreement.worst} ${agreement.deviation.toExponential(1)}`;
      return [label, ...times, over('medianMs'), over('medianProcessorMs'), `≥ ${goal}×`, apart];
    }),
  );
  return ['', 'eager TensorFlow.js on TensorFlow:', ...table];
}
