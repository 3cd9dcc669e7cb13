/**
 * A command's work in the group of processes it was started in by `mpirun` or `srun`: rank 0 alone talks, and an error of one rank ends all. A process
 * that no launcher has started is a group of one, and nothing here is seen.
 */
import { CodaError, type ProcessGroup } from '@coda-nets/core';
import { launchOf, openProcessGroup } from '@coda-nets/distributed';
import type { Share } from '@coda-nets/train';
import { InvalidArgumentError, type Command } from 'commander';
import { availableParallelism, cpus } from 'node:os';
import type { CommandIo } from './command-io.ts';
import { usageError, wholeNumber } from './define-command.ts';
import { Interrupted } from './interrupted.ts';

export interface GroupOptions {
  readonly distributed?: boolean;
  readonly threads?: number;
}

export interface ShardOptions extends GroupOptions {
  readonly shard?: Share;
}

export interface Member {
  readonly group: ProcessGroup;
  /** Of rank 0 the command's, of others a silent one. */
  readonly io: CommandIo;
  /** Compute threads of this rank; undefined: the engine's default. */
  readonly threads: number | undefined;
}

export function withGroupOptions(command: Command): Command {
  return command
    .option('--distributed', 'fail where neither mpirun nor srun has started this process (default: see for yourself)')
    .option('--no-distributed', 'be one process on its own, whatever has started it')
    .option('--threads <n>', 'compute threads of this process (default: every core, shared among the ranks of a machine)', wholeNumber(1));
}

export function withShardOption(command: Command): Command {
  return withGroupOptions(command).option(
    '--shard <i/n>',
    'without MPI: only the i-th of n shares, counted from 0, as a task of a job array',
    shard,
  );
}

/** Above any job array. */
export const MOST_SHARES = 1_000_000;

function shard(text: string): Share {
  const [, index, count] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number);
  if (index === undefined || count === undefined || index >= count || count > MOST_SHARES) {
    throw new InvalidArgumentError('Expected two numbers, 0/4 for the first of four shares.');
  }
  return { index, count };
}

/** `work` of every rank ends in the same way, or the job is aborted. */
export async function inGroup<T>(options: ShardOptions, io: CommandIo, work: (member: Member) => Promise<T>): Promise<T> {
  const alone = options.distributed === false || options.shard !== undefined;
  if (options.shard !== undefined && options.distributed === true) {
    throw usageError('--shard', 'is for processes that do not know of each other', 'either --shard or --distributed');
  }
  const group = await openProcessGroup({ ...(alone && { environment: {} }), required: options.distributed === true });
  const own = group.rank === 0 ? io : silent(io);
  const isMany = group.size > 1;
  try {
    if (isMany) {
      const names = await gatherJson(group, group.name, 'names of the ranks');
      for (const name of names) own.say(name);
    }
    const result = await work({ group, io: own, threads: options.threads ?? (isMany ? threadsOfRank() : undefined) });
    await group.close();
    return result;
  } catch (error) {
    if (!isMany) throw error;
    // said by rank 0, agreed by all
    if (error instanceof Interrupted) {
      await group.close();
      throw error;
    }
    return group.abort(error);
  }
}

/** What every rank has, in the order of ranks. */
export async function gatherJson<T>(group: ProcessGroup, value: T, label: string): Promise<T[]> {
  const texts = await group.allGather(new TextEncoder().encode(JSON.stringify(value)), label);
  return texts.map((text) => JSON.parse(new TextDecoder().decode(text)) as T);
}

/** Where the launcher has bound ranks to processors of their own, those; else an equal part of all. */
function threadsOfRank(): number {
  const mine = availableParallelism();
  const onMachine = launchOf(process.env)?.localSize ?? 1;
  return mine < cpus().length ? mine : Math.max(1, Math.floor(mine / onMachine));
}

function silent({ json }: CommandIo): CommandIo {
  return {
    json,
    say: () => undefined,
    result: () => undefined,
    begin: () => undefined,
    progress: () => ({ update: () => undefined, stop: () => undefined }),
  };
}

/** Throws a CodaError for a shard without a place to put it, or the other way round. */
export function checkShardOut(command: string, share: Share | undefined, out: string | undefined): void {
  if ((share === undefined) === (out === undefined)) return;
  throw new CodaError({
    kind: 'argument',
    where: `${command}: ${share === undefined ? '--out' : '--shard'}`,
    problem: share === undefined ? 'is for the file of a share' : 'its figures need a file',
    expected: '--shard I/N together with --out FILE',
  });
}
