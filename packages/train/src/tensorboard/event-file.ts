/**
 * The event file of one part of a run, `events.out.tfevents.<seconds>.<host>.<pid>`, which TensorBoard reads beside those of the parts before.
 * A part that goes on says from which step on: TensorBoard then forgets what a killed part told of later ones. A record that the kill cut off ends its file, which no one writes to again.
 */
import { open, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { eventRecord, type EventContent } from './event-record.ts';

export interface EventFile {
  readonly path: string;
  write(step: number, content: EventContent): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
  discard(): Promise<void>;
}

const namePattern = /^events\.out\.tfevents\.(\d+)\./;

/** `from`: what earlier files in this folder hold of that step and later ones is void. */
export async function openEventFile(folder: string, from: number): Promise<EventFile> {
  // TensorBoard reads them in the order of their names, also where two parts begin in the same second or the clock was set back
  const before = (await readdir(folder)).flatMap((name) => Number(namePattern.exec(name)?.[1] ?? []));
  const second = Math.max(Math.floor(Date.now() / 1000), ...before.map((last) => last + 1));
  const host = hostname().replaceAll(/[^\w.-]/g, '_');
  const path = join(folder, `events.out.tfevents.${String(second).padStart(10, '0')}.${host}.${process.pid}`);
  const file = await open(path, 'wx');
  const write = (step: number, content: EventContent): Promise<void> => file.appendFile(eventRecord(Date.now() / 1000, step, content));
  try {
    await write(0, { kind: 'file-version' });
    // also of a run that begins anew at step 0, of which all before is void
    if (before.length > 0) await write(from, { kind: 'session-start' });
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    path,
    write,
    flush: () => file.sync(),
    close: () => file.close(),
    discard: () => rm(path, { force: true }),
  };
}

/** The numbers of a line of metrics.jsonl by TensorBoard's tags: `step/loss`, `epoch/trainLoss`, and of an object in it `alignment/head.0/cosine/mean`. */
export function scalarsOf(line: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> {
  const scalars: Record<string, number> = {};
  const collect = (tag: string, value: unknown): void => {
    if (typeof value === 'number') scalars[tag] = value;
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value)) collect(`${tag}/${key}`, inner);
    }
  };
  const { type, step: _, epoch: __, ...rest } = line;
  for (const [key, value] of Object.entries(rest)) collect(typeof value === 'number' ? `${String(type)}/${key}` : key, value);
  return scalars;
}
