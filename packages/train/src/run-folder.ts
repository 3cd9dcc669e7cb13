/** The folder a training run lives in: its config, its metrics, where its checkpoints and models are. Layout: see the package's README. */
import { open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError, listedNames } from '@coda-nets/core';
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import { listCheckpoints } from './checkpoint.ts';
import { isMissing, orUnavailable } from './make-folder.ts';
import { checkSameConfig } from './same-config.ts';
import { scalarsOf } from './tensorboard/event-file.ts';
import { openEventsOrNone } from './tensorboard/events-or-none.ts';
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
  /** Adds a line to metrics.jsonl, and its numbers to the event file. */
  log(line: MetricsLine): Promise<void>;
  /** Adds a picture to the event file. */
  logImage(
    step: number,
    image: { readonly tag: string; readonly png: Uint8Array; readonly width: number; readonly height: number },
  ): Promise<void>;
  /** Makes sure that all so far is on the disk. */
  flush(): Promise<void>;
  close(): Promise<void>;
  /** Deletes what a new run has before its first step: config, metrics, event file. */
  discard(): Promise<void>;
}

type MetricsLine = Readonly<Record<string, unknown>> & { readonly type: string; readonly step: number };

/** Where a run goes on. */
export interface RunMoment {
  readonly step: number;
  /** The end of the epoch that this step is the last of is still to be done: what a killed process told of it is told again. */
  readonly epochEndPending: boolean;
}

/** Throws a CodaError where the folder holds a run, or checkpoints of one: a run that is begun beside them would be resumed from them. */
export async function refuseRun(path: string): Promise<void> {
  const refused = (where: string, problem: string, hint: string): CodaError => new CodaError({ kind: 'argument', where, problem, hint });
  if ((await storedConfig(path)) !== undefined)
    throw refused(path, 'there is a run in this folder already', 'Go on with it with --resume, or choose another folder.');
  const { checkpoints } = placesIn(path);
  const [newest] = await listCheckpoints(checkpoints);
  if (newest === undefined) return;
  const problem = `there is a checkpoint of another run in this folder, of step ${newest}`;
  throw refused(checkpoints, problem, 'Choose another folder, or delete this one if that run is not needed any more.');
}

/** Makes a new run of a folder that holds none. */
export async function createRunFolder(path: string, config: TrainConfig): Promise<void> {
  await refuseRun(path);
  await storeConfig(path, config);
}

/** Writes the config of the run in this folder. */
export function storeConfig(path: string, config: TrainConfig): Promise<void> {
  return writeFileAtomic(join(path, 'config.json'), `${JSON.stringify(config, undefined, 2)}\n`);
}

/** Checks that the folder holds a run of this config. Throws a CodaError that names the key that differs. */
export async function checkRunFolder(path: string, config: TrainConfig): Promise<void> {
  checkSameConfig(config, await configToResume(path), join(path, 'config.json'));
}

/** The config of the run in this folder. Throws a CodaError where there is none. */
export async function configToResume(path: string): Promise<TrainConfig> {
  const stored = await storedConfig(path);
  if (stored !== undefined) return stored;
  throw new CodaError({
    kind: 'argument',
    where: path,
    problem: 'there is no run to resume in this folder: it has no config.json',
    hint: 'Leave out --resume to start one.',
  });
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

/** Opens the folder to write on from a moment (`notice` is told of event files that cannot be written and of damaged lines): lines of metrics.jsonl that speak of what comes after are cut off, and void in the event files. */
export async function openRunFolder(
  path: string,
  { step, epochEndPending }: RunMoment,
  notice: (message: string) => void = () => undefined,
): Promise<RunFolder> {
  const metrics = join(path, 'metrics.jsonl');
  const lines = await cutMetrics(metrics, { step, epochEndPending }, notice);
  const file: FileHandle = await orUnavailable(metrics, open(metrics, 'a'));
  const voidFrom = step === 0 ? 0 : epochEndPending ? step : step + 1;
  const events = await openEventsOrNone(path, voidFrom, notice);
  const logScalars = async (line: MetricsLine): Promise<void> => {
    const values = scalarsOf(line);
    if (Object.keys(values).length > 0) await events.write(line.step, { kind: 'scalars', values });
  };
  if (step === 0) {
    const config = JSON.stringify(await storedConfig(path), undefined, 2);
    await events.write(0, { kind: 'text', tag: 'config', text: `\`\`\`json\n${config}\n\`\`\`` });
  }
  // the step's own line stays, beside the end of its epoch that goes
  for (const line of lines) if (line.step >= voidFrom) await logScalars(line);
  return {
    ...placesIn(path),
    isSilent: false,
    log: async (line) => {
      await orUnavailable(metrics, file.appendFile(`${JSON.stringify(line)}\n`));
      await logScalars(line);
    },
    logImage: (at, image) => events.write(at, { kind: 'image', ...image }),
    flush: async () => {
      await orUnavailable(metrics, file.sync());
      await events.flush();
    },
    close: async () => {
      await file.close();
      await events.close();
    },
    discard: async () => {
      for (const name of ['metrics.jsonl', 'config.json']) await rm(join(path, name), { force: true });
      await events.discard();
    },
  };
}

/** That of a rank that writes nothing. */
export function silentRunFolder(path: string): RunFolder {
  const nothing = async (): Promise<void> => undefined;
  return { ...placesIn(path), isSilent: true, log: nothing, logImage: nothing, flush: nothing, close: nothing, discard: nothing };
}

function placesIn(path: string): Pick<RunFolder, 'path' | 'checkpoints' | 'best' | 'last'> {
  return {
    path,
    checkpoints: join(path, 'checkpoints'),
    best: join(path, 'best.safetensors'),
    last: join(path, 'last.safetensors'),
  };
}

/**
 * What stays: lines of what is before `moment`. What a killed process left of its last line goes without a word; any other line that is none of metrics goes
 * alone, and `notice` is told.
 */
async function cutMetrics(path: string, moment: RunMoment, notice: (message: string) => void): Promise<readonly MetricsLine[]> {
  let text: string;
  try {
    text = new TextDecoder().decode(await readFileBytes(path, { maxBytes: maxMetricsBytes }));
  } catch (error) {
    if (CodaError.isInstance(error) && isMissing(error.cause)) return [];
    throw error;
  }
  const lines = text.split('\n');
  const parsed = lines.map(parsedLine);
  const damaged = parsed.slice(0, -1).flatMap((line, i) => (line === undefined ? [String(i + 1)] : []));
  if (damaged.length > 0) notice(`Lines of ${path} that are damaged are left out: ${listedNames(damaged)}.`);
  const isKept = (line: MetricsLine | undefined): boolean => line !== undefined && isBefore(line, moment);
  const cut = lines
    .filter((_, i) => isKept(parsed[i]))
    .map((line) => `${line}\n`)
    .join('');
  if (cut !== text) await writeFileAtomic(path, cut);
  return parsed.filter(isKept) as MetricsLine[];
}

function parsedLine(line: string): MetricsLine | undefined {
  try {
    const value = JSON.parse(line) as Partial<MetricsLine> | null;
    return typeof value?.step === 'number' && typeof value.type === 'string' ? (value as MetricsLine) : undefined;
  } catch {
    return undefined;
  }
}

function isBefore({ step, type }: MetricsLine, moment: RunMoment): boolean {
  return step < moment.step || (step === moment.step && (type === 'step' || type === 'bad-image' || !moment.epochEndPending));
}
