/** `coda bench dau`: what it counts, compares and prints, and one run on toy networks; with the PyTorch twins where a Python with torch is. */
import { ndArray } from '@coda-nets/core';
import { codaPresets, type CodaConfig } from '@coda-nets/dau';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { checkAgreement } from '../../src/bench/agreement.ts';
import { dauBench, type DauBenchResult } from '../../src/bench/dau/dau-bench.ts';
import { dauFlops } from '../../src/bench/dau/dau-flops.ts';
import { profileWork } from '../../src/bench/dau/dau-profile.ts';
import { reportLines } from '../../src/bench/dau/dau-report.ts';
import { dauWorks, type BenchNetwork } from '../../src/bench/dau/dau-works.ts';
import { startTwins, twinStarter } from '../../src/bench/dau/twins.ts';
import { runCli } from '../../src/cli.ts';
import type { CommandIo } from '../../src/command-io.ts';

const python = process.env['CODA_PYTHON'] ?? 'python3';
const hasTorch = spawnSync(python, ['-c', 'import torch, safetensors.torch']).status === 0;

const tiny: CodaConfig = {
  kind: 'coda',
  inputShape: [6, 5, 3],
  layers: [
    { out: 3, kernel: 3, stride: 2, padding: 1, rank: 2 },
    { out: 4, kernel: 2, stride: 1, padding: 0, rank: 5 },
  ],
  temperature: 1,
  classes: 4,
};
const networks: Readonly<Record<string, BenchNetwork>> = {
  s: { label: 'tiny', config: tiny, images: 16 },
  l: { label: 'tiny L2', config: { ...tiny, norm: 'l2' }, images: 1 },
};

function silentIo(): CommandIo & { readonly said: string[] } {
  const said: string[] = [];
  return {
    said,
    json: true,
    say: (line) => void said.push(line),
    begin: () => undefined,
    result: () => undefined,
    progress: () => ({ update: () => undefined, stop: () => undefined }),
  };
}

beforeAll(() => useBackend('cpu'));

describe('dauFlops', () => {
  // layer 0: 6×5 → 3×3 positions, d 54, n 3, r 2; layer 1: 3×3 → 2×2 positions, d 12, n 4, r 5
  const products = [2 * 9 * 54 * (2 + 6 + 3), 2 * 4 * 12 * (5 + 20 + 4)] as const;
  const alignment = [2 * 9 * 6, 2 * 4 * 20] as const;
  const norms = [2 * 9 * 3 * (3 + 2), 2 * 4 * 4 * (15 + 5)] as const;
  const gram = [2 * 54 * 3 * 5, 2 * 12 * 4 * 20] as const;
  const sum = ([a, b]: readonly [number, number]): number => a + b;

  it('counts a forward pass by hand', () => {
    expect(sum(products) + sum(alignment) + sum(norms)).toBe(14_654);
    expect(dauFlops(tiny, { kind: 'forward', batch: 1 })).toBe(14_654);
    expect(dauFlops(tiny, { kind: 'forward', batch: 7 })).toBe(7 * 14_654);
  });

  it('counts training three times, and the Gram matrices, but no gradient of the images', () => {
    expect(dauFlops(tiny, { kind: 'train', batch: 1 })).toBe(3 * (14_654 + sum(gram)) - products[0]);
  });

  it('counts an explanation’s way back through what depends on the input linearly', () => {
    const back = 2 * 9 * 54 * (6 + 3) + alignment[0] + 2 * 4 * 12 * (20 + 4) + alignment[1];
    expect(dauFlops(tiny, { kind: 'explain', batch: 1 })).toBe(14_654 + back);
  });

  it('is 2 GFLOP an image for S-CoDA', () => {
    // its last 3×3 layer alone: 64 positions × 576 × (64 + 4,096 + 64) multiply-adds are 0.31 GFLOP
    expect(dauFlops(codaPresets['s-cifar10'], { kind: 'forward', batch: 1 })).toBeCloseTo(2.005e9, -7);
  });
});

describe('checkAgreement', () => {
  const array = (...values: number[]) => ndArray('float32', [values.length], Float32Array.from(values));

  it('passes what is close, and names the worst', () => {
    const agreement = checkAgreement(
      'bench',
      ['a', 'b'],
      { logits: array(1, 2), 'map/0': array(1, 1.00001) },
      { logits: array(1, 2), 'map/0': array(1, 1) },
    );
    expect(agreement).toMatchObject({ worst: 'map/0', tolerance: 1e-4 });
    expect(agreement.deviation).toBeCloseTo(1e-5, 6);
  });

  it('refuses what is apart, missing, NaN or of another shape', () => {
    const check = (actual: number[], expected: number[]) => () =>
      checkAgreement('bench: row', ['ours', 'published'], { logits: array(...actual) }, { logits: array(...expected) });
    expect(check([1, 2.1], [1, 2])).toThrow(
      'bench: row: logits: ours and published compute different numbers, so their times do not compare; expected at most 0.00001 of the largest apart, got 5.00e-2',
    );
    expect(check([1, Number.NaN], [1, 2])).toThrow('got NaN');
    expect(check([1], [1, 2])).toThrow('got Infinity');
    expect(() => checkAgreement('bench', ['a', 'b'], {}, { loss: array(1) })).toThrow('bench: loss');
  });
});

describe('the report', () => {
  const timing = (name: string, medianMs: number) => ({
    name,
    medianMs,
    minMs: medianMs,
    medianProcessorMs: 2 * medianMs,
    repeats: 1,
    samples: [],
  });
  const result: DauBenchResult = {
    twins: 'PyTorch 2',
    peaks: [{ name: 'torch', gflops: 200, processorGflops: 100 }],
    rows: [
      {
        id: 'train-s',
        label: 'training step',
        flops: 50e9,
        goals: { published: 10 },
        timings: [timing('ours (onnxruntime)', 500), timing('published', 4000), timing('low-rank', 1000)],
        agreement: {},
        otherProcessors: 0,
      },
    ],
    memory: [
      {
        id: 'train-s',
        label: 'training step',
        goal: 0.5,
        peaks: [
          { name: 'ours (onnxruntime)', bytes: 1e9 },
          { name: 'published', bytes: 4e9 },
        ],
      },
    ],
    finished: true,
  };

  it('puts times, ratios, goals and shares of the peak side by side', () => {
    const cells = (reportLines(result)[2] as string).split(/ {2,}/);
    // 50 GFLOP in 0.5 s are 100 GFLOP/s: half of the peak
    expect(cells).toEqual([
      'training step',
      '500 ms',
      '4.00 s',
      '1.00 s',
      '8.00×',
      '8.00×',
      '≥ 10×',
      '2.00×',
      '2.00×',
      '50.0 %',
      '6.3 %',
      '25.0 %',
    ]);
    expect(reportLines(result).join('\n')).toMatch(/training step +1000 MB +4000 MB +0\.25 +≤ 0\.5/);
    expect(reportLines(result).join('\n')).not.toContain('NOISE');
  });

  it('warns of other work, and of absent twins', () => {
    const noisy = { ...result, rows: result.rows.map((row) => ({ ...row, otherProcessors: 1.5 })) };
    expect(reportLines(noisy).join('\n')).toMatch(/NOISE: other work kept up to 1\.5 processors busy.*\n.*ours: train-s 50\.0 %/);
    const alone = {
      ...result,
      twins: undefined,
      memory: [],
      rows: result.rows.map((row) => ({ ...row, timings: row.timings.slice(0, 1) })),
    };
    const lines = reportLines(alone);
    expect((lines[2] as string).split(/ {2,}/)).toEqual(['training step', '500 ms', '50.0 %']);
    expect(lines.at(-1)).toBe('PyTorch was not measured: there are no ratios.');
  });
});

describe('a run on toy networks', () => {
  const folders = (): readonly string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('coda-bench-'));
  const options = async () => ({
    engines: [await onnxRuntimeEngine({ threads: 1 })],
    threads: 1,
    rounds: 1,
    seed: 3,
    io: silentIo(),
    networks,
    matmul: { m: 16, k: 16, n: 16 },
  });

  it('measures ours alone where there is no PyTorch', async () => {
    const before = folders();
    const result = await dauBench(await options());
    expect(result.rows.map(({ id }) => id)).toEqual(dauWorks.map(({ id }) => id));
    for (const { timings } of result.rows)
      expect(timings.map(({ name, medianMs }) => [name, medianMs > 0])).toEqual([['ours (onnxruntime)', true]]);
    expect(result.finished).toBe(true);
    expect(folders()).toEqual(before);
  });

  it('ends with what it has when it is stopped', async () => {
    const controller = new AbortController();
    controller.abort();
    const result = await dauBench({ ...(await options()), signal: controller.signal });
    expect(result).toMatchObject({ rows: [], memory: [], finished: false });
  });

  it('computes the same logits, maps, losses and gradients as both PyTorch twins', async ({ skip }) => {
    if (!hasTorch) skip(`no torch in ${python}: name a Python that has it with CODA_PYTHON`);
    const result = await dauBench({ ...(await options()), startTwins: (folder = '') => startTwins({ folder, threads: 1 }) });
    expect(result.twins).toContain('PyTorch');
    for (const { id, agreement, timings } of result.rows) {
      const names = ['ours (onnxruntime)', 'published', 'low-rank', ...(id === 'explain-s-all' ? ['published, tap by tap'] : [])];
      expect(timings.map(({ name }) => name)).toEqual(names);
      expect(Object.keys(agreement)).toEqual(['ours (onnxruntime)', 'low-rank']);
      // something was compared: float32 sums in different orders are never all equal
      expect(Math.max(...Object.values(agreement).map(({ deviation }) => deviation))).toBeGreaterThan(0);
    }
  });

  it('profiles a piece of work node by node', async () => {
    const [train] = dauWorks;
    const profile = await profileWork(train as (typeof dauWorks)[number], networks['s'] as BenchNetwork, { seed: 0, threads: 1, calls: 2 });
    expect(profile.calls).toBe(2);
    expect(profile.nodes.map(({ op }) => op)).toContain('Sqrt');
    expect(profile.nodesMs).toBeLessThanOrEqual(profile.callMs);
  });
});

describe('the twins', () => {
  it('agree with the golden networks in float64', ({ skip }) => {
    if (!hasTorch) skip(`no torch in ${python}: name a Python that has it with CODA_PYTHON`);
    const script = fileURLToPath(new URL('../../../../tools/bench/test_dau_twins.py', import.meta.url));
    const tested = spawnSync(python, ['-B', script], { encoding: 'utf8' });
    expect(tested.stderr).toMatch(/\nOK\n$/);
  });

  it('are left out, in words, where the default Python has no torch', async () => {
    const given = process.env['CODA_PYTHON'];
    process.env['CODA_PYTHON'] = '/nowhere/python';
    try {
      const io = silentIo();
      expect(await twinStarter({ python: { kind: 'default' }, threads: 1, io })).toBeUndefined();
      expect(io.said.join()).toMatch(
        /^twins: not measured\. bench: \/nowhere\/python: no Python with torch and safetensors; got the process (has )?ended: .*ENOENT\. Name one with --python or CODA_PYTHON\.$/,
      );
    } finally {
      if (given === undefined) delete process.env['CODA_PYTHON'];
      else process.env['CODA_PYTHON'] = given;
    }
  });

  it('fail where the Python that was asked for has none', async () => {
    const python = { kind: 'path', path: '/nowhere/python' } as const;
    await expect(twinStarter({ python, threads: 1, io: silentIo() })).rejects.toThrow('bench: /nowhere/python: no Python with torch');
    expect(await twinStarter({ python: { kind: 'none' }, threads: 1, io: silentIo() })).toBeUndefined();
  });
});

describe('coda bench', () => {
  it.each([
    [['bench', 'dou'], 2, 'bench: no bench of that name; expected dau, engine, depth, data, training, mpi, got dou. Did you mean dau?'],
    [['bench', 'dau', '--works', 'forward-s-16,trian-s'], 2, 'bench dau: --works: no piece of work of that name; expected train-s, '],
    [['bench', 'dau', '--profile', 'explain-m'], 2, 'Did you mean explain-'],
    [['bench', 'dau', '--python', '/nowhere/python'], 1, 'bench: /nowhere/python: no Python with torch and safetensors'],
    [['bench', '--threads', '0'], 2, 'Expected an integer of at least 1.'],
  ] as const)('answers %j with one clear error', async (args, code, message) => {
    let said = '';
    const spies = [process.stdout, process.stderr].map((stream) =>
      vi.spyOn(stream, 'write').mockImplementation((text) => ((said += String(text)), true)),
    );
    try {
      expect(await runCli(args)).toBe(code);
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    expect(said).toContain(message);
  });
});
