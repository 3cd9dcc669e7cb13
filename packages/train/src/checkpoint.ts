/** A moment of a training run on disk: complete or not there. What it takes to go on exactly; not the model files people use. */
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { CodaError, decodeSafetensors, encodeSafetensors, parseConfig, type NamedArrays } from '@coda-nets/core';
import { readFileBytes, syncFolder, writeFileAtomic } from '@coda-nets/core/node';
import { makeFolder } from './make-folder.ts';

const number = v.number();
/** A run without a penalty adds up nothing. */
const sums = v.strictObject({ steps: number, loss: number, correct: number, penalty: v.optional(number, 0) });
const evaluation = v.strictObject({ loss: number, top1: number, top5: number });

const best = v.strictObject({ epoch: number, score: number });

const stateSchema = v.strictObject({
  version: v.literal(1),
  /** Updates done. */
  step: v.pipe(number, v.integer(), v.minValue(0)),
  seed: number,
  sampler: v.strictObject({ epoch: number, position: number }),
  /** The epoch's last step is done, its end (validation, best, metrics) is not. */
  epochEndPending: v.boolean(),
  /** Sums since the last line of metrics.jsonl, and since the start of the epoch. */
  interval: sums,
  epoch: sums,
  best: v.nullable(best),
  /** The best so far in the metric of an early stop, and how many measured epochs there were since; whether it has stopped the run. */
  patience: v.optional(v.nullable(v.strictObject({ ...best.entries, since: number })), null),
  stopped: v.optional(v.boolean(), false),
  /** Of the loss, against divergence. */
  trend: v.optional(v.strictObject({ steps: number, mean: number, lowest: number }), { steps: 0, mean: 0, lowest: 0 }),
  validation: v.nullable(evaluation),
  /** Time the run has taken so far, over all its parts. */
  seconds: number,
  /** Of the images trained on. */
  dataFingerprint: v.string(),
  /** File and reason of each image that could not be read so far. */
  bad: v.optional(v.array(v.tuple([v.string(), v.string()])), []),
  engine: v.string(),
  /** What the run was told to do, network included: `config.json` beside it can be edited. */
  config: v.exactOptional(v.record(v.string(), v.unknown())),
  /** How many the run was to have when this was written; and what it was to have before, up to the step at which it went on with others. */
  epochs: v.exactOptional(number),
  lengths: v.optional(v.array(v.strictObject({ step: number, epochs: number })), []),
  /** Processes the run was begun with: together they take `ranks` × `batch` images a step, also where others go on with it. */
  ranks: v.optional(v.pipe(number, v.integer(), v.minValue(1)), 1),
});
export type CheckpointState = v.InferOutput<typeof stateSchema>;

export interface Checkpoint {
  readonly state: CheckpointState;
  readonly weights: NamedArrays;
  readonly slots: NamedArrays;
}

/** So many stay: if a disk spoils the last one, there is one before. */
const kept = 2;
/** A few numbers, and a line for each bad image. */
const maxStateBytes = 2 ** 30;
/** As for model files. */
const maxBytes = 4 * 2 ** 30;
const stepFolder = /^\d+$/;

/** Written beside, flushed, renamed to `<folder>/<step>`; older ones than the last two are removed. Where that fails, those there stay as they are. */
export async function writeCheckpoint(folder: string, { state, weights, slots }: Checkpoint): Promise<string> {
  await makeFolder(folder);
  const name = String(state.step);
  const path = join(folder, name);
  const beside = join(folder, `.${name}.tmp`);
  await rm(beside, { recursive: true, force: true });
  try {
    await makeFolder(beside);
    await writeFileAtomic(join(beside, 'weights.safetensors'), encodeSafetensors(weights));
    await writeFileAtomic(join(beside, 'optimiser.safetensors'), encodeSafetensors(slots));
    await writeFileAtomic(join(beside, 'state.json'), `${JSON.stringify(state, undefined, 2)}\n`);
  } catch (error) {
    // on a full disk what is half there is in the way of what is to be saved elsewhere
    await rm(beside, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
  await rename(path, join(folder, `.${name}.old`)).catch(ignoreMissing);
  await rename(beside, path);
  await syncFolder(folder);
  await tidy(folder, state.step);
  return path;
}

/** Steps of the checkpoints in `folder`, newest first; none where there is no folder. */
export async function listCheckpoints(folder: string): Promise<readonly number[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    ignoreMissing(error);
    return [];
  });
  return names
    .filter((name) => stepFolder.test(name))
    .map(Number)
    .sort((a, b) => b - a);
}

/** Throws a CodaError that names the file that is not as it should be. */
export async function readCheckpoint(folder: string, step: number): Promise<Checkpoint> {
  const place = join(folder, String(step));
  const statePath = join(place, 'state.json');
  const text = new TextDecoder().decode(await readFileBytes(statePath, { maxBytes: maxStateBytes }));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CodaError({ kind: 'malformed', where: statePath, problem: 'not JSON', cause });
  }
  const state = parseConfig(stateSchema, value, statePath);
  if (state.step !== step) throw damagedState(statePath, 'step', step, state.step);
  return { state, weights: await read(join(place, 'weights.safetensors')), slots: await read(join(place, 'optimiser.safetensors')) };
}

/** Throws a CodaError where the state's place in its epoch is not that of its step. */
export function checkPlace({ step, sampler }: CheckpointState, batch: number, batchesPerEpoch: number, folder: string): void {
  const place = sampler.epoch * batchesPerEpoch + sampler.position / batch;
  if (place !== step) throw damagedState(join(folder, String(step), 'state.json'), 'sampler', step, place);
}

function damagedState(path: string, key: string, step: number, got: number): CodaError {
  return new CodaError({
    kind: 'malformed',
    where: `${path}: ${key}`,
    problem: 'not of the step that the checkpoint is of',
    expected: `step ${step}`,
    got: `step ${got}`,
    hint: 'To go on from the checkpoint before, delete this one.',
  });
}

async function read(path: string): Promise<NamedArrays> {
  return decodeSafetensors(await readFileBytes(path, { maxBytes }), path).tensors;
}

/** Removes what killed writers left, and all checkpoints but that of `written` and the newest others. Renamed first: a half-removed one must not look whole. */
async function tidy(folder: string, written: number): Promise<void> {
  const others = (await listCheckpoints(folder)).filter((step) => step !== written);
  for (const step of others.slice(kept - 1)) {
    await rename(join(folder, String(step)), join(folder, `.${step}.old`)).catch(ignoreMissing);
  }
  for (const name of await readdir(folder)) {
    if (/^\.\d+\.(old|tmp)$/.test(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
