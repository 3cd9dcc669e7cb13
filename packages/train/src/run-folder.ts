/** The folder a training run lives in: its config, its metrics, where its checkpoints and models are. Layout: see the package's README. */
import { access, constants, mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError } from '@coda-nets/core';
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import { checkSameConfig } from './same-config.ts';
import { parseTrainConfig, type TrainConfig } from './train-config.ts';

/** A config is a few kilobytes. */
const maxConfigBytes = 10_000_000;
/** 200 bytes a line: ten million lines. */
const maxMetricsBytes = 2 ** 31;

export interface RunFolder {
  readonly path: string;
  readonly checkpoints: string;
  readonly best: string;
  readonly last: string;
  /** Nothing is to be written in it by this process. */
  readonly isSilent: boolean;
  /** Adds a line. */
  log(line: Readonly<Record<string, unknown>>): Promise<void>;
  /** Makes sure that all lines so far are on the disk. */
  flush(): Promise<void>;
  close(): Promise<void>;
  /** Deletes what a new run has before its first step: config and metrics. */
  discard(): Promise<void>;
}

/** Makes the folder where there is none. Throws a CodaError where that cannot be, or nothing can be written in it. */
export async function makeFolder(path: string): Promise<void> {
  await orUnavailable(path, mkdir(path, { recursive: true }));
  await orUnavailable(path, access(path, constants.W_OK));
}

/** Throws a CodaError where the folder holds a run. */
export async function refuseRun(path: string): Promise<void> {
  if ((await storedConfig(path)) === undefined) return;
  throw new CodaError({
    kind: 'argument',
    where: path,
    problem: 'there is a run in this folder already',
    hint: 'Go on with it with --resume, or choose another folder.',
  });
}

/** Makes a new run of a folder that holds none. */
export async function createRunFolder(path: string, config: TrainConfig): Promise<void> {
  await refuseRun(path);
  await writeFileAtomic(join(path, 'config.json'), `${JSON.stringify(config, undefined, 2)}\n`);
}

/** Checks that the folder holds a run of this config. Throws a CodaError that names the key that differs. */
export async function checkRunFolder(path: string, config: TrainConfig): Promise<void> {
  const stored = await storedConfig(path);
  if (stored === undefined) {
    throw new CodaError({
      kind: 'argument',
      where: path,
      problem: 'there is no run to resume in this folder: it has no config.json',
      hint: 'Leave out --resume to start one.',
    });
  }
  checkSameConfig(config, stored, join(path, 'config.json'));
}

/** The config a run folder holds, or undefined where it holds none. */
export async function storedConfig(path: string): Promise<TrainConfig | undefined> {
  const file = join(path, 'config.json');
  let bytes: Uint8Array;
  try {
    bytes = await readFileBytes(file, { maxBytes: maxConfigBytes });
  } catch (error) {
    if (CodaError.isInstance(error) && isMissing(error.cause)) return undefined;
    throw error;
  }
  try {
    return parseTrainConfig(JSON.parse(new TextDecoder().decode(bytes)), file);
  } catch (cause) {
    if (CodaError.isInstance(cause)) throw cause;
    throw new CodaError({ kind: 'malformed', where: file, problem: 'not JSON', cause });
  }
}

/** Opens the folder to write on from `step`: lines of metrics.jsonl that speak of later steps are cut off. */
export async function openRunFolder(path: string, step: number): Promise<RunFolder> {
  const metrics = join(path, 'metrics.jsonl');
  await cutMetrics(metrics, step);
  const file: FileHandle = await orUnavailable(metrics, open(metrics, 'a'));
  return {
    ...placesIn(path),
    isSilent: false,
    log: async (line) => {
      await orUnavailable(metrics, file.appendFile(`${JSON.stringify(line)}\n`));
    },
    flush: () => orUnavailable(metrics, file.sync()),
    close: () => file.close(),
    discard: async () => {
      for (const name of ['metrics.jsonl', 'config.json']) await rm(join(path, name), { force: true });
    },
  };
}

/** That of a rank that writes nothing. */
export function silentRunFolder(path: string): RunFolder {
  const nothing = async (): Promise<void> => undefined;
  return { ...placesIn(path), isSilent: true, log: nothing, flush: nothing, close: nothing, discard: nothing };
}

function placesIn(path: string): Pick<RunFolder, 'path' | 'checkpoints' | 'best' | 'last'> {
  return {
    path,
    checkpoints: join(path, 'checkpoints'),
    best: join(path, 'best.safetensors'),
    last: join(path, 'last.safetensors'),
  };
}

/** A line that a killed process left half-written goes too. */
async function cutMetrics(path: string, step: number): Promise<void> {
  let text: string;
  try {
    text = new TextDecoder().decode(await readFileBytes(path, { maxBytes: maxMetricsBytes }));
  } catch (error) {
    if (CodaError.isInstance(error) && isMissing(error.cause)) return;
    throw error;
  }
  const lines = text.split('\n').slice(0, -1);
  const end = lines.findIndex((line) => !(stepOf(line) <= step));
  const whole = end === -1 ? lines : lines.slice(0, end);
  const cut = whole.map((line) => `${line}\n`).join('');
  if (cut !== text) await writeFileAtomic(path, cut);
}

function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as { step: number }).step;
  } catch {
    return NaN;
  }
}

function isMissing(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

/** The same promise, with the file system's errors as a CodaError of kind `unavailable` that names the path, as `writeFileAtomic` has them. */
async function orUnavailable<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new CodaError({
      kind: 'unavailable',
      where: path === '' ? '""' : path,
      problem: `could not be written (${code ?? message})`,
      cause,
    });
  }
}
