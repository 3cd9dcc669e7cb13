/**
 * The folder of a run: config, metrics, checkpoints, models. Everything is written beside and renamed, so that a crash at any moment leaves
 * whole files; checkpoints are folders that appear at once.
 */
import { CodaError, decodeSafetensors, encodeSafetensors, type JsonObject, type NamedArrays } from '@coda-nets/core';
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BatchSamplerState } from './data/batch-sampler.ts';

/** What a training has reached, beside its arrays. */
export interface TrainingState {
  readonly step: number;
  readonly sampler: BatchSamplerState;
  /** Sums over the steps of the epoch so far. */
  readonly epochLoss: number;
  readonly epochCorrect: number;
  readonly epochImages: number;
  /** The best validation accuracy, or −1. */
  readonly best: number;
  /** Seconds spent training in this and earlier sessions of the run. */
  readonly seconds: number;
}

export interface Checkpoint {
  readonly state: TrainingState;
  /** Weights and optimiser slots by their carried names. */
  readonly carried: NamedArrays;
}

/** The newest one may be the one a crash was writing; the one before is whole. */
const KEPT_CHECKPOINTS = 2;
/** A carried state is three times the weights; no network here comes near. */
const MAX_CHECKPOINT_BYTES = 16 * 2 ** 30;
const WEIGHTS = 'weights.safetensors';
const OPTIMISER = 'optimiser.safetensors';
const STATE = 'state.json';

export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The config a run was started with; undefined where there is no run. */
  async config(): Promise<JsonObject | undefined> {
    const file = join(this.path, 'config.json');
    if (!existsSync(file)) return undefined;
    try {
      return JSON.parse(await readFile(file, 'utf8')) as JsonObject;
    } catch (cause) {
      throw new CodaError({ kind: 'malformed', where: file, problem: 'not JSON', cause });
    }
  }

  async writeConfig(config: JsonObject): Promise<void> {
    await mkdir(this.path, { recursive: true });
    await writeFileAtomic(join(this.path, 'config.json'), Buffer.from(`${JSON.stringify(config, null, 2)}\n`));
  }

  async appendMetrics(line: JsonObject): Promise<void> {
    await appendFile(join(this.path, 'metrics.jsonl'), `${JSON.stringify(line)}\n`);
  }

  /** Cuts metrics back to what was known at `step`: later lines, and one that a crash left half written, go. */
  async cutMetrics(step: number): Promise<void> {
    const file = join(this.path, 'metrics.jsonl');
    if (!existsSync(file)) return;
    const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => {
      try {
        return (JSON.parse(line) as { step: number }).step <= step;
      } catch {
        return false;
      }
    });
    await writeFileAtomic(file, Buffer.from(lines.map((line) => `${line}\n`).join('')));
  }

  async writeCheckpoint({ state, carried }: Checkpoint): Promise<void> {
    const folder = join(this.path, 'checkpoints');
    const target = join(folder, String(state.step));
    const beside = join(folder, `.${state.step}.tmp-${process.pid}`);
    const isSlot = (name: string): boolean => name.includes('#');
    const pick = (wanted: boolean): NamedArrays => Object.fromEntries(Object.entries(carried).filter(([name]) => isSlot(name) === wanted));
    await rm(beside, { recursive: true, force: true });
    await mkdir(beside, { recursive: true });
    await writeFileAtomic(join(beside, WEIGHTS), encodeSafetensors(pick(false)));
    await writeFileAtomic(join(beside, OPTIMISER), encodeSafetensors(pick(true)));
    await writeFileAtomic(join(beside, STATE), Buffer.from(`${JSON.stringify(state)}\n`));
    await rm(target, { recursive: true, force: true });
    await rename(beside, target);
    const steps = await this.checkpointSteps();
    for (const step of steps.slice(0, -KEPT_CHECKPOINTS)) await rm(join(folder, String(step)), { recursive: true, force: true });
  }

  /** The last checkpoint, or undefined before the first. Throws a CodaError that names a file that is damaged. */
  async lastCheckpoint(): Promise<Checkpoint | undefined> {
    const steps = await this.checkpointSteps();
    const step = steps.at(-1);
    if (step === undefined) return undefined;
    const folder = join(this.path, 'checkpoints', String(step));
    const read = async (name: string): Promise<NamedArrays> => {
      const file = join(folder, name);
      return decodeSafetensors(await readFileBytes(file, { maxBytes: MAX_CHECKPOINT_BYTES }), file).tensors;
    };
    const file = join(folder, STATE);
    let state: TrainingState;
    try {
      state = JSON.parse(await readFile(file, 'utf8')) as TrainingState;
    } catch (cause) {
      throw new CodaError({
        kind: 'malformed',
        where: file,
        problem: 'the checkpoint cannot be read',
        hint: `Delete ${folder} to go on from the checkpoint before it.`,
        cause,
      });
    }
    return { state, carried: { ...(await read(WEIGHTS)), ...(await read(OPTIMISER)) } };
  }

  /** Ascending. Leftovers of a crash start with a dot and do not count. */
  private async checkpointSteps(): Promise<number[]> {
    const folder = join(this.path, 'checkpoints');
    if (!existsSync(folder)) return [];
    const names = await readdir(folder);
    return names.filter((name) => /^\d+$/.test(name)).map(Number).sort((a, b) => a - b);
  }
}
