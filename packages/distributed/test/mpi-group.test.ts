/** Collectives and their failures among real ranks, against plain loops. Needs an MPI launcher; without one, skipped. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mpiLaunchers, runRanks, type MpiLauncher } from '@coda-nets/tools/testkit';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const program = fileURLToPath(new URL('rank-program.ts', import.meta.url));
/** Seconds of a launcher, whose ranks on a busy machine take their time to start; above anything that is not a hang. */
const limit = 220;
vi.setConfig({ testTimeout: 240_000 });
/** Seconds in which a job is over once there is a reason: the launcher's work, on a machine that may be busy. The time-out of waiting ranks is ten minutes. */
const soon = 60;
const length = 1000;
const value = (r: number, i: number): number => ((r + 1) * 37 + i * 11) % 101;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-mpi-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const reduce = { sum: (a: number, b: number) => a + b, max: Math.max, min: Math.min } as const;

interface Answer {
  readonly rank: number;
  readonly size: number;
  readonly name: string;
  readonly results: Readonly<Record<string, unknown>>;
  readonly calls: number;
  readonly moved: number;
}

it.skipIf(mpiLaunchers.length > 0)('has no MPI launcher to test with', () => expect(mpiLaunchers).toEqual([]));

describe.each(mpiLaunchers)('$name', (launcher) => {
  it('reduces, broadcasts and gathers', async () => {
    // more ranks than processors, and as many
    const size = launcher.name === 'Open MPI' ? 4 : 2;
    const { code, err } = await runRanks(launcher, size, [program, 'collectives', folder], { limit });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const ranks = Array.from({ length: size }, (_, r) => r);
    for (const rank of ranks) {
      const answer = JSON.parse(await readFile(join(folder, `${rank}.json`), 'utf8')) as Answer;
      const { name, results, calls, moved } = answer;
      expect([answer.rank, answer.size]).toEqual([rank, size]);
      expect(name).toMatch(new RegExp(`^rank ${rank} of ${size} \\(.+, process \\d+\\)$`));
      for (const reduction of ['sum', 'max', 'min'] as const) {
        const twin = Array.from({ length }, (_, i) => ranks.map((r) => value(r, i)).reduce((a, b) => reduce[reduction](a, b)));
        for (const type of ['float32', 'float64', 'int32', 'int64']) expect(results[`${reduction} ${type}`]).toEqual(twin);
      }
      const sum = (size * (size - 1)) / 2;
      expect(results['view']).toEqual([sum, sum, sum, 4 * (length + 7)]);
      expect(results['broadcast']).toEqual([size, size, size, size, size]);
      // else UCX moves the end of a heap that other threads use
      expect(results['UCX_MEM_EVENTS']).toBe('n');
      expect(results['gathered']).toEqual(ranks.map((r) => Array.from({ length: r }, (_, i) => value(r, i))));
      expect(calls).toBe(18);
      expect(moved).toBeGreaterThan(3 * length * (4 + 8 + 4 + 8));
    }
  });

  it('ends all ranks when one throws, and names it', async () => {
    const { code, err, seconds } = await runRanks(launcher, 2, [program, 'throw'], { since: /error:/, limit });
    expect(code).not.toBe(0);
    expect(err).toMatch(/error: rank 1 of 2 \(.+\): the data of rank 1 cannot be read/);
    expect(seconds).toBeLessThan(soon);
  });
});

// once is enough: what they test is ours, not the library's
describe.each(mpiLaunchers.slice(0, 1))('$name, further', (launcher) => {
  it('says what MPI says, and ends all ranks', async () => {
    const { code, err } = await runRanks(launcher, 2, [program, 'refuse'], { limit });
    expect(code).not.toBe(0);
    expect(err).toMatch(/error: rank [01] of 2 \(.+\): MPI_Bcast: .*[Ii]nvalid root/);
  });

  it('ends all ranks when one hangs, and names those that waited', async () => {
    const { code, err, seconds } = await runRanks(launcher, 2, [program, 'hang'], {
      // nothing else is waited for so long on a busy machine
      env: { CODA_MPI_TIMEOUT: '5' },
      since: /has waited/,
      limit,
    });
    expect(code).not.toBe(0);
    expect(err).toMatch(/error: rank 0 of 2 \(.+\) has waited 5 s for other ranks in all-reduce "gradients of step 12" and aborts the job/);
    expect(err).not.toContain('error: rank 1');
    expect(seconds).toBeLessThan(soon);
  });

  it('ends all ranks when one does not come to MPI, and says so', async () => {
    const { code, err, seconds } = await runRanks(launcher, 2, [program, 'late'], {
      env: { CODA_MPI_TIMEOUT: '5' },
      since: /has waited/,
      limit,
    });
    expect(code).not.toBe(0);
    expect(err).toMatch(/error: rank 0 of 2 \(.+\) has waited 15 s for all ranks to start and is killed/);
    expect(seconds).toBeLessThan(soon);
  });

  it('ends all ranks when one is killed', async () => {
    const { code, seconds } = await runRanks(launcher, 2, [program, 'leave'], { since: /all are here/, limit });
    expect(code).not.toBe(0);
    expect(seconds).toBeLessThan(soon);
  });
});

describe.runIf(mpiLaunchers.length === 2)('a library of another kind than the launcher', () => {
  const libraries = { 'Open MPI': 'libmpi.so.40', MPICH: 'libmpich.so.12' } as const;
  it('is refused by every rank', async () => {
    const [launcher, other] = mpiLaunchers as readonly [MpiLauncher, MpiLauncher];
    const env = { CODA_MPI_LIBRARY: libraries[other.name] };
    const { code, err } = await runRanks(launcher, 2, [program, 'collectives'], { env });
    expect(code).not.toBe(0);
    expect(err).toContain('started 2 processes, and the MPI library is not of the same kind: each would think that it is one of 1');
    expect(err).toContain(
      `expected the library of ${launcher.name === 'MPICH' ? 'mpiexec of MPICH' : 'mpirun of Open MPI'}, got ${env.CODA_MPI_LIBRARY}`,
    );
  });
});
