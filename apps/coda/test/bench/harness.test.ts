/** The parts every bench is made of: rounds and medians, a child that answers lines of JSON, tables, and what a profile says. */
import { interleave, measureCalls, median, type Contender } from '../../src/bench/interleave.ts';
import { jsonLinesProcess } from '../../src/bench/json-lines-process.ts';
import { peakBytes, residentBytes } from '../../src/bench/process-memory.ts';
import { profileLines, profileOf } from '../../src/bench/profile-table.ts';
import { megabytes, milliseconds, ratio, textTable } from '../../src/bench/text-table.ts';
import { describe, expect, it } from 'vitest';

/** Takes the times it is told to, and writes down when it was asked. */
function contender(name: string, times: readonly number[], log: string[], mostRounds?: number): Contender {
  let calls = 0;
  return {
    name,
    ...(mostRounds !== undefined && { mostRounds }),
    measure: async (repeats) => {
      log.push(`${name}×${repeats}`);
      const ms = times[calls++] as number;
      return { ms, processorMs: 2 * ms };
    },
  };
}

describe('interleave', () => {
  it('measures round by round, repeats short calls, and takes medians', async () => {
    const log: string[] = [];
    const slow = contender('slow', [900, 300, 400], log);
    const fast = contender('fast', [90, 10, 11, 13, 12], log);
    const { timings, otherProcessors } = await interleave([slow, fast], { rounds: 3, leastSampleMs: 100, settleMs: 0 });
    // a call of 10 ms is repeated until a sample takes 100
    expect(log).toEqual(['slow×1', 'fast×1', 'fast×1', 'fast×10', 'slow×1', 'fast×10', 'slow×1', 'fast×10']);
    expect(
      timings.map(({ name, medianMs, minMs, medianProcessorMs, repeats }) => ({ name, medianMs, minMs, medianProcessorMs, repeats })),
    ).toEqual([
      { name: 'slow', medianMs: 400, minMs: 300, medianProcessorMs: 800, repeats: 1 },
      { name: 'fast', medianMs: 12, minMs: 11, medianProcessorMs: 24, repeats: 10 },
    ]);
    expect(otherProcessors).toBeGreaterThanOrEqual(0);
  });

  it('lets one leave early, and ends between samples when it is stopped', async () => {
    const log: string[] = [];
    const all = [contender('a', [500, 500, 500], log), contender('b', [500], log, 1), contender('c', [500, 500], log)];
    let samples = 0;
    const { timings } = await interleave(all, { rounds: 9, settleMs: 0, onSample: () => samples++, stopped: () => log.length >= 6 });
    expect(log).toEqual(['a×1', 'b×1', 'c×1', 'a×1', 'c×1', 'a×1']);
    expect(samples).toBe(6);
    expect(timings.map(({ samples }) => samples.length)).toEqual([3, 1, 2]);
  });

  it('leaves out who had no turn before it was stopped', async () => {
    const log: string[] = [];
    const { timings } = await interleave([contender('a', [500], log), contender('b', [], log)], {
      rounds: 1,
      settleMs: 0,
      stopped: () => log.length > 0,
    });
    expect(timings.map(({ name }) => name)).toEqual(['a']);
  });

  it('measures a call by the clock and by the processor', async () => {
    const spin = async (): Promise<void> => {
      const end = performance.now() + 30;
      while (performance.now() < end);
    };
    const { ms, processorMs } = await measureCalls(spin, 2);
    expect(ms).toBeGreaterThanOrEqual(30);
    expect(processorMs).toBeGreaterThan(0);
    const waited = await measureCalls(() => new Promise((resolve) => setTimeout(resolve, 100)), 1);
    expect(waited.processorMs).toBeLessThan(waited.ms / 2);
  });

  it('has a median of any number of values', () => {
    expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([7])]).toEqual([2, 2.5, 7]);
    expect(median([])).toBeNaN();
  });
});

describe('jsonLinesProcess', () => {
  const child = `
    require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { op, args } = JSON.parse(line);
      if (op === 'die') { console.error('out of luck'); process.exit(3); }
      console.log(JSON.stringify(op === 'sum' ? { result: args.a + args.b } : { error: 'no ' + op }));
    });`;

  it('asks and is answered, in order', async () => {
    const other = jsonLinesProcess(process.execPath, ['-e', child]);
    expect(await other.request('sum', { a: 1, b: 2 })).toBe(3);
    await expect(other.request('quotient')).rejects.toThrow('quotient: no quotient');
    expect(await other.request('sum', { a: 3, b: 4 })).toBe(7);
    await other.close();
    await expect(other.request('sum')).rejects.toThrow('the process has ended');
  });

  it('says why a child that died did', async () => {
    const other = jsonLinesProcess(process.execPath, ['-e', child]);
    await expect(other.request('die')).rejects.toThrow('the process ended: out of luck');
    await other.close();
  });

  it('says so where there is no such program', async () => {
    const other = jsonLinesProcess('/nowhere/python', ['x.py']);
    await expect(other.request('sum')).rejects.toThrow(/\/nowhere\/python x\.py: the process (has )?ended: .*ENOENT/);
    await other.close();
  });
});

describe('text', () => {
  it('makes a table as wide as it needs', () => {
    expect(
      textTable(
        ['work', 'ms'],
        [
          ['a', '1'],
          ['längeres', '12'],
        ],
      ),
    ).toEqual(['work      ms', '────────  ──', 'a          1', 'längeres  12']);
  });

  it('writes times, ratios and sizes with three digits or so', () => {
    expect([0.1234, 12.34, 123.4, 4321].map(milliseconds)).toEqual(['0.123 ms', '12.3 ms', '123 ms', '4.32 s']);
    expect([1.234, 12.34].map(ratio)).toEqual(['1.23×', '12.3×']);
    expect(megabytes(1_234_567_890)).toBe('1235 MB');
  });
});

describe('profile', () => {
  const node = (name: string, op: string, dur: number) => ({
    cat: 'Node',
    name: `${name}:node_kernel_time`,
    dur,
    args: { op_name: op, input_type_shape: [{ float: [2, 3] }], output_type_shape: [{ float: [2] }], mem_arena_held: '5000000' },
  });
  const run = { cat: 'Session', name: 'model_run', dur: 4000, args: {} };

  it('averages over the calls after the warm-up, slowest first', () => {
    const call = (a: number, b: number) => [node('Gemm_0', 'Gemm', a), node('Add_0', 'Add', b), node('Add_1', 'Add', 250), run];
    const profile = profileOf([...call(9000, 9000), ...call(1000, 500), ...call(2000, 1500)], 1, 'trace.json');
    expect(profile).toMatchObject({ calls: 2, callMs: 4, nodesMs: 2.75, arenaBytes: 5_000_000 });
    expect(profile.nodes.map(({ name, ms }) => [name, ms])).toEqual([
      ['Gemm_0', 1.5],
      ['Add_0', 1],
      ['Add_1', 0.25],
    ]);
    const lines = profileLines(profile, 1);
    expect(lines[0]).toBe('3 nodes, 2.8 ms of a call of 4.0 ms (mean of 2), arena 5 MB');
    expect(lines.filter((line) => line.startsWith('Add'))).toEqual(['Add           2  1.25  45.5 %']);
    expect(lines.at(-1)).toBe('Gemm_0 (Gemm): [2,3] → [2]  1.50  54.5 %');
  });

  it('refuses a trace without a call after the warm-up', () => {
    expect(() => profileOf([run], 1, 'trace.json')).toThrow('trace.json: the trace has too few calls; expected more than 1, got 1');
  });
});

it('reads this process’s memory', () => {
  const filled = new Uint8Array(400e6).fill(1);
  expect(residentBytes()).toBeGreaterThan(filled.length);
  // the pages of each are counted at slightly different moments
  expect(peakBytes()).toBeGreaterThan(0.99 * residentBytes());
});
