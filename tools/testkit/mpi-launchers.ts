/** Launchers of MPI that are on this machine, and a program of this repository's TypeScript run by several ranks of one. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface MpiLauncher {
  readonly name: 'Open MPI' | 'MPICH';
  readonly command: string;
  readonly args: readonly string[];
}

export interface RankRun {
  /** Of the launcher. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** Since the start, or since what `since` says. */
  readonly seconds: number;
}

export interface RankRunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Hears everything that is written, as it comes. */
  readonly onText?: (text: string) => void;
  /** Time counts from when this is said. */
  readonly since?: RegExp;
  /** Seconds after which the launcher is ended. */
  readonly limit?: number;
}

/** Open MPI starts neither as root nor more ranks than processors unless told to. */
const known: readonly MpiLauncher[] = [
  { name: 'Open MPI', command: 'mpirun.openmpi', args: ['--allow-run-as-root', '--oversubscribe'] },
  { name: 'MPICH', command: 'mpiexec.mpich', args: [] },
  { name: 'Open MPI', command: 'mpirun', args: ['--allow-run-as-root', '--oversubscribe'] },
];

/** Debian's names tell the two apart; elsewhere `mpirun` is asked what it is. One of each at most. */
export const mpiLaunchers: readonly MpiLauncher[] = known.filter(({ name, command }, i) => {
  const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const isThere = status === 0 && /Open MPI|OpenRTE/.test(stdout) === (name === 'Open MPI');
  return isThere && !known.slice(0, i).some((before) => before.name === name && spawnSync(before.command, ['--version']).status === 0);
});

const hook = fileURLToPath(new URL('run-typescript.mjs', import.meta.url));

/** How a process of this repository's TypeScript is started from source. */
export const fromSource: readonly string[] = ['--import', hook, '--conditions=@coda-nets/source'];

/** Runs `node program args` in `size` ranks. One compute thread a rank: there are more ranks than processors. */
export function runRanks(
  launcher: MpiLauncher,
  size: number,
  [program, ...args]: readonly [string, ...string[]],
  { env = {}, onText, since, limit = 60 }: RankRunOptions = {},
): Promise<RankRun> {
  let begin = performance.now();
  let isSaid = since === undefined;
  const child = spawn(launcher.command, [...launcher.args, '-np', String(size), process.execPath, ...fromSource, program, ...args], {
    env: { ...process.env, OMPI_MCA_btl_base_warn_component_unused: '0', NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  for (const [name, stream] of [['out', child.stdout] as const, ['err', child.stderr] as const]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
      if (!isSaid && since?.test(said[name]) === true) {
        isSaid = true;
        begin = performance.now();
      }
      onText?.(text);
    });
  }
  const watch = setTimeout(() => child.kill('SIGTERM'), 1000 * limit);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(watch);
      resolve({ code, ...said, seconds: (performance.now() - begin) / 1000 });
    });
  });
}
