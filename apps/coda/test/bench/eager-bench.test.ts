/** The rows of `coda bench engine` on TensorFlow: what they print; and one run on toy networks, where TensorFlow is set up. */
import { tensorFlowEngine } from '@coda-nets/engine';
import { hasBackend, useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { eagerBench, eagerLines, type EagerRow } from '../../src/bench/eager/eager-bench.ts';
import { eagerWorks, type EagerWork } from '../../src/bench/eager/eager-works.ts';
import type { CommandIo } from '../../src/command-io.ts';

/** Few activations: no rectifier is on for one and off for the other. */
const TOLERANCE = 1e-5;
const silent: CommandIo = {
  json: true,
  say: () => undefined,
  begin: () => undefined,
  result: () => undefined,
  progress: () => ({ update: () => undefined, stop: () => undefined }),
};
const small: Readonly<Record<string, EagerWork['config']>> = {
  'eager-20': { kind: 'resnet', depth: 8, width: 4, inputShape: [8, 8, 3], classes: 5 },
  'eager-s-coda': {
    kind: 'coda',
    inputShape: [8, 8, 3],
    layers: [
      { out: 6, kernel: 3, rank: 4 },
      { out: 4, kernel: 3, stride: 2, rank: 3 },
    ],
    temperature: 1,
    classes: 4,
  },
};

it('puts times, ratios and goals side by side', () => {
  const timing = (name: string, ms: number) => ({ name, medianMs: ms, minMs: ms, medianProcessorMs: 3 * ms, repeats: 1, samples: [] });
  const row: EagerRow = {
    id: 'x',
    label: 'a step',
    goal: 2,
    agreement: { worst: 'loss', deviation: 1e-7, tolerance: 1e-5 },
    timings: [timing('tfjs-node alone', 100), timing('ours (tensorflow)', 40)],
    otherProcessors: 0,
  };
  const line = eagerLines([row]).find((text) => text.startsWith('a step')) as string;
  expect(line.split(/ {2,}/)).toEqual(['a step', '100 ms', '40.0 ms', '2.50×', '2.50×', '≥ 2×', 'loss 1.0e-7']);
  expect(eagerLines([])).toEqual([]);
});

const here = await hasBackend('tensorflow');

describe.skipIf(!here)(`a run on toy networks${here ? '' : ' (SKIPPED: TensorFlow is not set up here)'}`, () => {
  beforeAll(() => useBackend('cpu'));

  it('computes the same losses, gradients and statistics as tfjs-node alone', async () => {
    const works = eagerWorks.map((work) => ({ ...work, batch: 3, config: small[work.id] as EagerWork['config'] }));
    const rows = await eagerBench({ engine: await tensorFlowEngine(), works, rounds: 1, seed: 3, io: silent });
    expect(rows.map(({ id }) => id)).toEqual(eagerWorks.map(({ id }) => id));
    for (const { timings, agreement } of rows) {
      expect(timings.map(({ name }) => name)).toEqual(['tfjs-node alone', 'ours (tensorflow)']);
      // something was compared: float32 sums in different orders are never all equal
      expect(agreement.deviation).toBeGreaterThan(0);
      expect(agreement.deviation).toBeLessThan(TOLERANCE);
    }
  }, 240_000);
});
