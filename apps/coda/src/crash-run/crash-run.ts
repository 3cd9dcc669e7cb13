/**
 * One training twice: undisturbed, and killed (SIGKILL) at random moments and resumed each time. Says whether both end in the same bytes, how memory went and
 * whether the loss fell. Each part is a process of its own, `coda train`.
 */
import { CodaError, Random } from '@coda-nets/core';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readMetrics } from '../report/read-metrics.ts';

export interface CrashRunOptions {
  /** What stands before `train …`: the program and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** A config file with `logEverySteps` 1. */
  readonly config: string;
  readonly data: string;
  /** `undisturbed` and `disturbed` are made in it. */
  readonly out: string;
  readonly kills: number;
  readonly seed: number;
  /** Further words of the call. */
  readonly more?: readonly string[];
  readonly say?: (line: string) => void;
}

export interface CrashRunResult {
  readonly steps: number;
  /** Step that the last line of metrics.jsonl told of when a process was killed; fewer than asked for where one ended before. */
  readonly killedAt: readonly number[];
  /** Step from which each part went on. */
  readonly resumedAt: readonly number[];
  /** last.safetensors, byte for byte. */
  readonly sameWeights: boolean;
  /** Loss and accuracy of every step and epoch. */
  readonly sameMetrics: boolean;
  readonly sha256: string;
  readonly seconds: { readonly undisturbed: number; readonly disturbed: number };
  /** Means over the first and the last tenth of the steps, at least one. */
  readonly loss: { readonly first: number; readonly last: number };
  /** Resident bytes of the undisturbed run: the most in each quarter of its samples, empty where they cannot be read (only Linux tells). */
  readonly memoryByQuarter: readonly number[];
}

const POLL_MS = 50;

export async function crashRun(options: CrashRunOptions): Promise<CrashRunResult> {
  const { out, kills, seed, say = () => undefined } = options;
  const [whole, parts] = [join(out, 'undisturbed'), join(out, 'disturbed')];
  const started = performance.now();
  const memory = await undisturbed(options, whole);
  const undisturbedSeconds = (performance.now() - started) / 1000;
  const steps = (await readMetrics(whole)).steps.length;
  say(`undisturbed: ${steps} steps in ${undisturbedSeconds.toFixed(0)} s`);

  const random = Random.seeded(seed).split('kills');
  const targets = Array.from({ length: kills }, () => 1 + random.below(steps - 1)).sort((a, b) => a - b);
  const stepMs = (1000 * undisturbedSeconds) / steps;
  const [killedAt, resumedAt]: [number[], number[]] = [[], []];
  const begun = performance.now();
  for (const target of targets) {
    const child = start(options, parts, killedAt.length > 0);
    // at a moment within a step, not between two
    const killed = await killAt(child, options, parts, target, stepMs * random.uniform());
    if (!killed) break;
    killedAt.push(stepsSoFar(parts));
    resumedAt.push(await lastCheckpoint(parts));
    say(`killed after step ${killedAt.at(-1)}; goes on from ${resumedAt.at(-1)}`);
  }
  await ended(start(options, parts, killedAt.length > 0), options);
  const disturbedSeconds = (performance.now() - begun) / 1000;
  say(`disturbed: ${disturbedSeconds.toFixed(0)} s`);

  const [a, b] = await Promise.all([whole, parts].map((folder) => readFile(join(folder, 'last.safetensors'))));
  const [figuresA, figuresB] = await Promise.all([whole, parts].map(figures));
  const losses = (await readMetrics(whole)).steps.map(({ loss }) => loss as number);
  const tenth = Math.max(1, Math.floor(losses.length / 10));
  const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
  return {
    steps,
    killedAt,
    resumedAt,
    sameWeights: (a as Buffer).equals(b as Buffer),
    sameMetrics: figuresA === figuresB,
    sha256: createHash('sha256')
      .update(b as Buffer)
      .digest('hex'),
    seconds: { undisturbed: undisturbedSeconds, disturbed: disturbedSeconds },
    loss: { first: mean(losses.slice(0, tenth)), last: mean(losses.slice(-tenth)) },
    memoryByQuarter: quarters(memory),
  };
}

function start({ command: [program, ...words], config, data, more = [] }: CrashRunOptions, out: string, resume: boolean): ChildProcess {
  const args = [...words, 'train', config, '--data', data, '--out', out, ...more, ...(resume ? ['--resume'] : [])];
  return spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

async function undisturbed(options: CrashRunOptions, out: string): Promise<readonly number[]> {
  const child = start(options, out, false);
  const samples: number[] = [];
  // from the first step on: before it the process still grows
  const timer = setInterval(() => {
    const bytes = residentBytesOf(child.pid);
    if (bytes !== undefined && stepsSoFar(out) > 0) samples.push(bytes);
  }, 4 * POLL_MS);
  await ended(child, options).finally(() => clearInterval(timer));
  return samples;
}

function ended(child: ChildProcess, { config }: CrashRunOptions): Promise<void> {
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

/** Whether it was killed: it may end by itself in the last moment. Rejects where it fails. */
async function killAt(child: ChildProcess, options: CrashRunOptions, out: string, target: number, delayMs: number): Promise<boolean> {
  let sent = false;
  const timer = setInterval(() => {
    if (stepsSoFar(out) < target) return;
    clearInterval(timer);
    setTimeout(() => (sent = child.kill('SIGKILL')), delayMs);
  }, POLL_MS);
  try {
    await ended(child, options);
    return false;
  } catch (error) {
    if (sent && child.signalCode === 'SIGKILL') return true;
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** The step of the last whole line. */
function stepsSoFar(out: string): number {
  try {
    const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').split('\n').slice(0, -1);
    return (JSON.parse(lines.at(-1) ?? '{"step":0}') as { step: number }).step;
  } catch {
    return 0;
  }
}

async function lastCheckpoint(out: string): Promise<number> {
  const names = await readdir(join(out, 'checkpoints')).catch(() => []);
  return Math.max(0, ...names.filter((name) => /^\d+$/.test(name)).map(Number));
}

/** What depends on the clock, and may differ. */
const timed: ReadonlySet<string> = new Set(['seconds', 'imagesPerSecond', 'waiting']);

async function figures(out: string): Promise<string> {
  const { steps, epochs, explanations } = await readMetrics(out);
  return JSON.stringify([steps, epochs, explanations], (key, value: unknown) => (timed.has(key) ? undefined : value));
}

/** Undefined where the system does not tell, or the process is gone. */
function residentBytesOf(pid: number | undefined): number | undefined {
  try {
    const kilobytes = /VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : 1024 * Number(kilobytes);
  } catch {
    return undefined;
  }
}

function quarters(samples: readonly number[]): readonly number[] {
  if (samples.length < 4) return [];
  return [0, 1, 2, 3].map((q) =>
    Math.max(...samples.slice(Math.floor((q * samples.length) / 4), Math.floor(((q + 1) * samples.length) / 4))),
  );
}
