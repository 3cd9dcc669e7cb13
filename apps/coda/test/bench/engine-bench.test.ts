/** `coda bench engine`: what it prints, and one run on toy networks; against PyTorch where a Python with torch is. */
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { beforeAll, describe, expect, it } from 'vitest';
import { engineBench, type EngineBenchResult } from '../../src/bench/engine/engine-bench.ts';
import { profileWork } from '../../src/bench/engine/engine-profile.ts';
import { reportLines } from '../../src/bench/engine/engine-report.ts';
import { engineWorks, type EngineNetwork, type EngineWork } from '../../src/bench/engine/engine-works.ts';
import { startTorchTwin } from '../../src/bench/engine/torch-twin.ts';
import type { CommandIo } from '../../src/command-io.ts';

const python = process.env['CODA_PYTHON'] ?? 'python3';
const hasTorch = spawnSync(python, ['-c', 'import torch, safetensors.torch']).status === 0;

const networks: Readonly<Record<string, EngineNetwork>> = {
  r50: {
    label: 'tiny',
    config: { kind: 'resnet', design: 'imagenet', depth: 18, width: 4, classes: 5, inputShape: [33, 40, 3] },
    images: 8,
  },
  r20: { label: 'tiny basic', config: { kind: 'resnet', depth: 8, width: 4, inputShape: [12, 9, 3] }, images: 4 },
};
const works: readonly EngineWork[] = engineWorks.map((work) => ({ ...work, batch: Math.min(work.batch, 4) }));
const silent: CommandIo = {
  json: true,
  say: () => undefined,
  begin: () => undefined,
  result: () => undefined,
  progress: () => ({ update: () => undefined, stop: () => undefined }),
};

beforeAll(() => useBackend('cpu'));

describe('the report', () => {
  const timing = (name: string, medianMs: number) => ({
    name,
    medianMs,
    minMs: medianMs,
    medianProcessorMs: 2 * medianMs,
    repeats: 1,
    samples: [],
  });
  const work = (id: string): EngineWork => engineWorks.find((candidate) => candidate.id === id) as EngineWork;
  const result: EngineBenchResult = {
    twin: 'PyTorch 2',
    rows: [
      {
        work: work('forward-50-1'),
        label: 'forward',
        agreement: {},
        otherProcessors: 0,
        timings: [timing('ours (onnxruntime)', 50), timing('torch', 100)],
      },
      {
        work: work('taps-50-1'),
        label: 'taps',
        agreement: {},
        otherProcessors: 0,
        timings: [timing('none', 100), timing('stages', 101), timing('blocks', 120)],
      },
    ],
    alone: [
      { work: work('load-50'), label: 'load', ours: { ms: 300, bytes: 110e6 }, torch: { ms: 200, bytes: 210e6 }, fileBytes: 100e6 },
      { work: work('train-20'), label: 'train', ours: { ms: 1, bytes: 400e6 }, torch: { bytes: 800e6 } },
    ],
    finished: true,
  };
  const cells = (text: string): readonly string[] => (reportLines(result).find((line) => line.startsWith(text)) as string).split(/ {2,}/);

  it('puts times, ratios and goals side by side', () => {
    expect(cells('forward')).toEqual(['forward', '50.0 ms', '100 ms', '2.00×', '2.00×', '≥ 1×']);
    expect(cells('taps')).toEqual(['taps', '100 ms', '101 ms', '120 ms', '1.01×', '1.20×', '≤ 1.05×']);
    expect(cells('load')).toEqual(['load', '300 ms', '≤ 500 ms', '200 ms', '110 MB', '210 MB', '1.10 of the file', '≤ 1.3']);
    expect(cells('train')).toEqual(['train', '400 MB', '800 MB', '0.50']);
    expect(reportLines(result).join('\n')).not.toContain('NOISE');
  });

  it('warns of other work, and says that PyTorch is absent', () => {
    const [first, ...rest] = result.rows;
    const noisy = { ...result, twin: undefined, rows: [{ ...first!, otherProcessors: 1.5 }, ...rest] };
    expect(reportLines(noisy).join('\n')).toMatch(/NOISE: other work kept up to 1\.5 processors busy[^]*PyTorch was not measured/);
  });
});

describe('a run on toy networks', () => {
  const folders = (): readonly string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('coda-bench-'));
  const options = async () => ({
    engines: [await onnxRuntimeEngine({ threads: 1 })],
    threads: 1,
    rounds: 1,
    seed: 3,
    io: silent,
    networks,
    works,
  });

  it('measures ours alone where there is no PyTorch, and leaves no folder behind', async () => {
    const before = folders();
    const result = await engineBench(await options());
    expect(result.rows.map(({ work: { id } }) => id)).toEqual(
      works.filter(({ kind }) => kind !== 'start' && kind !== 'load').map(({ id }) => id),
    );
    for (const { timings } of result.rows) for (const { medianMs } of timings) expect(medianMs).toBeGreaterThan(0);
    expect(result.finished).toBe(true);
    expect(folders()).toEqual(before);
  }, 240_000);

  it('ends with what it has when it is stopped', async () => {
    const controller = new AbortController();
    controller.abort();
    expect(await engineBench({ ...(await options()), signal: controller.signal })).toMatchObject({ rows: [], alone: [], finished: false });
  });

  it('computes the same logits, losses, gradients and statistics as PyTorch', async ({ skip }) => {
    if (!hasTorch) skip(`no torch in ${python}: name a Python that has it with CODA_PYTHON`);
    const result = await engineBench({ ...(await options()), startTwin: (folder = '') => startTorchTwin(folder, { threads: 1 }) });
    expect(result.twin).toContain('PyTorch');
    const compared = result.rows.filter(({ work: { kind } }) => kind !== 'taps');
    for (const { agreement, timings } of compared) {
      expect(timings.map(({ name }) => name)).toEqual(['ours (onnxruntime)', 'torch']);
      const { deviation } = agreement['ours (onnxruntime)'] as { deviation: number };
      // something was compared: float32 sums in different orders are never all equal
      expect(deviation).toBeGreaterThan(0);
      // few activations: no rectifier is on for one and off for the other
      expect(deviation).toBeLessThan(1e-3);
    }
  }, 240_000);

  it('profiles a forward pass, in which batch norms and rectifiers are inside of the convolutions', async () => {
    const profile = await profileWork(works[0] as EngineWork, networks['r50'] as EngineNetwork, { seed: 0, threads: 1, calls: 2 });
    const count = (op: string): number => profile.nodes.filter((node) => node.op === op).length;
    expect(count('Conv') + count('FusedConv')).toBe(20);
    expect(count('Pad')).toBe(0);
    expect(count('Relu')).toBeLessThan(9);
  });
});
