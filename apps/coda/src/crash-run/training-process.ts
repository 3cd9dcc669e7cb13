/** A `coda train` as a process of its own: started, waited for, and killed at a step. */
import { CodaError } from '@coda-nets/core';
import { storedConfig } from '@coda-nets/train';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Between two looks at a training. */
export const POLL_MS = 20;

/** What is started: `PROGRAM … train CONFIG --data DATA …`. */
export interface TrainingCall {
  /** What stands before `train …`: the program and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** A config file with `logEverySteps` 1. */
  readonly config: string;
  readonly data: string;
  /** Further words of the call. */
  readonly more?: readonly string[];
  /** Ends the training that runs; called again, it goes on. */
  readonly signal?: AbortSignal;
}

/** Goes on where there is a run. */
export async function startTraining(
  { command: [program, ...words], config, data, more = [], signal }: TrainingCall,
  out: string,
): Promise<ChildProcess> {
  const resume = (await storedConfig(out)) === undefined ? [] : ['--resume'];
  const args = [...words, 'train', config, '--data', data, '--out', out, ...more, ...resume];
  return spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], ...(signal !== undefined && { signal }) });
}

/** Rejects with a CodaError that has its last words where it fails. */
export function trainingEnded(child: ChildProcess, { config }: TrainingCall): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (text: unknown) => (said = (said + String(text)).slice(-2000)));
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0) resolve();
      else
        reject(
          new CodaError({
            kind: 'unavailable',
            where: `crash run: ${config}`,
            problem: `coda train ended with ${code ?? signal}:\n${said.trimEnd()}`,
          }),
        );
    });
  });
}

/** Kills it when it has done `target` steps and `delayMs` more. Throws where it fails, or ends by itself before. */
export async function killTrainingAt(child: ChildProcess, call: TrainingCall, out: string, target: number, delayMs: number): Promise<void> {
  let sent = false;
  const timer = setInterval(() => {
    if (stepsSoFar(out) < target) return;
    clearInterval(timer);
    setTimeout(() => (sent = child.kill('SIGKILL')), delayMs);
  }, POLL_MS);
  try {
    await trainingEnded(child, call);
  } catch (error) {
    if (sent && child.signalCode === 'SIGKILL') return;
    throw error;
  } finally {
    clearInterval(timer);
  }
  throw new CodaError({
    kind: 'unavailable',
    where: 'crash run: kills',
    problem: `the training was at its end before it could be killed after step ${target}`,
    hint: 'Delete the folder of the disturbed run and progress.json, and take more or slower steps.',
  });
}

/** The step of the last whole line. */
export function stepsSoFar(out: string): number {
  try {
    const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').split('\n').slice(0, -1);
    return (JSON.parse(lines.at(-1) ?? '{"step":0}') as { step: number }).step;
  } catch {
    return 0;
  }
}
