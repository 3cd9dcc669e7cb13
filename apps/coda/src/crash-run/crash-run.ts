/**
 * One training twice: undisturbed, and killed (SIGKILL) at random moments and resumed each time. Says whether both end in the same bytes, how memory went and
 * whether the loss fell. Each part is a process of its own, `coda train`. What was ended from outside goes on when it is called again: a finished part is not repeated.
 */
import { CodaError, Random } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson } from '../read-json.ts';
import { readMetrics } from '../report/read-metrics.ts';
import { killTrainingAt, POLL_MS, startTraining, stepsSoFar, trainingEnded, type TrainingCall } from './training-process.ts';

export interface CrashRunOptions extends TrainingCall {
  /** `undisturbed`, `disturbed` and `progress.json` are made in it. */
  readonly out: string;
  readonly kills: number;
  readonly seed: number;
  readonly say?: (line: string) => void;
}

interface Kill {
  /** Step that the last line of metrics.jsonl told of when the process was killed; after the one of the kill before. */
  readonly step: number;
  /** Step of the checkpoint from which the next part goes on. */
  readonly resumesAt: number;
}

export interface CrashRunResult {
  readonly steps: number;
  /** As many as were asked for, none of them after the last step. */
  readonly kills: readonly Kill[];
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
  /** The most in the second half is at most `flatMemory` times the most in the first: with an even number of epochs both do the same work. Undefined where there are no samples. */
  readonly isMemoryFlat: boolean | undefined;
}

/** What is kept of a crash run that is not finished. */
interface CrashRunProgress {
  /** Of all that the two runs depend on. */
  readonly key: string;
  readonly undisturbed?: { readonly seconds: number; readonly memoryByQuarter: readonly number[] };
  readonly kills: readonly Kill[];
  readonly disturbedSeconds: number;
}

/** Room for buffers that grow with what happens to be in flight; a leak of a batch of images in each step would be many times as much. */
const flatMemory = 1.1;
/** No kill in the last so many of the steps: the process might end before it is seen. */
const lastShare = 1 / 8;

export async function crashRun(options: CrashRunOptions): Promise<CrashRunResult> {
  const { out, kills, seed, say = () => undefined } = options;
  const [whole, parts] = [join(out, 'undisturbed'), join(out, 'disturbed')];
  const file = join(out, 'progress.json');
  let progress = await progressOf(file, options);
  const note = async (change: Partial<CrashRunProgress>): Promise<void> => {
    progress = { ...progress, ...change };
    await writeFileAtomic(file, `${JSON.stringify(progress, undefined, 2)}\n`);
  };
  if (progress.undisturbed === undefined) {
    // what is there of one was disturbed
    await rm(whole, { recursive: true, force: true });
    await note({ undisturbed: await undisturbed(options, whole) });
  }
  const { seconds, memoryByQuarter } = progress.undisturbed as NonNullable<CrashRunProgress['undisturbed']>;
  const steps = (await readMetrics(whole)).steps.length;
  say(`undisturbed: ${steps} steps in ${seconds.toFixed(0)} s`);

  const moments = killMoments(steps, kills, seed);
  const stepMs = (1000 * seconds) / steps;
  for (const { from, to, random } of moments.slice(progress.kills.length)) {
    const begun = performance.now();
    const first = Math.max(from, (progress.kills.at(-1)?.step ?? 0) + 1);
    const target = first + random.below(Math.max(1, to - first + 1));
    // at a moment within a step, not between two
    await killTrainingAt(await startTraining(options, parts), options, parts, target, Math.min(stepMs, 1000) * random.uniform());
    const kill = { step: stepsSoFar(parts), resumesAt: await lastCheckpoint(parts) };
    await note({ kills: [...progress.kills, kill], disturbedSeconds: progress.disturbedSeconds + (performance.now() - begun) / 1000 });
    say(`killed after step ${kill.step}; goes on from ${kill.resumesAt}`);
  }
  const begun = performance.now();
  await trainingEnded(await startTraining(options, parts), options);
  const disturbedSeconds = progress.disturbedSeconds + (performance.now() - begun) / 1000;
  say(`disturbed: ${disturbedSeconds.toFixed(0)} s`);

  const [a, b] = await Promise.all([whole, parts].map((folder) => readFile(join(folder, 'last.safetensors'))));
  const [figuresA, figuresB] = await Promise.all([whole, parts].map(figures));
  const losses = (await readMetrics(whole)).steps.map(({ loss }) => loss as number);
  const tenth = Math.max(1, Math.floor(losses.length / 10));
  const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
  const [q1 = 0, q2 = 0, q3 = 0, q4 = 0] = memoryByQuarter;
  return {
    steps,
    kills: progress.kills,
    sameWeights: (a as Buffer).equals(b as Buffer),
    sameMetrics: figuresA === figuresB,
    sha256: createHash('sha256')
      .update(b as Buffer)
      .digest('hex'),
    seconds: { undisturbed: seconds, disturbed: disturbedSeconds },
    loss: { first: mean(losses.slice(0, tenth)), last: mean(losses.slice(-tenth)) },
    memoryByQuarter,
    isMemoryFlat: memoryByQuarter.length === 0 ? undefined : Math.max(q3, q4) <= flatMemory * Math.max(q1, q2),
  };
}

/** Throws a CodaError where the folder holds a crash run of something else. */
async function progressOf(file: string, { config, data, kills, seed, more = [] }: CrashRunOptions): Promise<CrashRunProgress> {
  const key = createHash('sha256')
    .update(JSON.stringify([await readFile(config, 'utf8'), data, kills, seed, more]))
    .digest('hex');
  const stored = existsSync(file) ? ((await readJson(file)) as unknown as CrashRunProgress) : undefined;
  if (stored === undefined) return { key, kills: [], disturbedSeconds: 0 };
  if (stored.key === key) return stored;
  throw new CodaError({
    kind: 'argument',
    where: file,
    problem: 'a crash run with other options was begun here',
    hint: 'Choose an empty folder, or call it as it was called.',
  });
}

/**
 * Where each kill falls: steps `from` … `to`, one stretch for each, of the steps that leave room before the end; and a stream of its own. Throws a CodaError where there are
 * fewer steps than kills.
 */
export function killMoments(
  steps: number,
  kills: number,
  seed: number,
): readonly { readonly from: number; readonly to: number; readonly random: Random }[] {
  const last = steps - Math.max(2, Math.ceil(steps * lastShare));
  if (kills > last) {
    throw new CodaError({
      kind: 'argument',
      where: 'crash run: kills',
      problem: `a run of ${steps} steps is too short`,
      expected: `at most ${Math.max(0, last)}`,
      got: String(kills),
    });
  }
  const random = Random.seeded(seed).split('kills');
  return Array.from({ length: kills }, (_, i) => ({
    from: Math.floor((last * i) / kills) + 1,
    to: Math.floor((last * (i + 1)) / kills),
    random: random.split(i),
  }));
}

async function undisturbed(options: CrashRunOptions, out: string): Promise<NonNullable<CrashRunProgress['undisturbed']>> {
  const begun = performance.now();
  const child = await startTraining(options, out);
  const samples: number[] = [];
  // from the first step on: before it the process still grows
  const timer = setInterval(() => {
    const bytes = residentBytesOf(child.pid);
    if (bytes !== undefined && stepsSoFar(out) > 0) samples.push(bytes);
  }, 10 * POLL_MS);
  await trainingEnded(child, options).finally(() => clearInterval(timer));
  return { seconds: (performance.now() - begun) / 1000, memoryByQuarter: quarters(samples) };
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
