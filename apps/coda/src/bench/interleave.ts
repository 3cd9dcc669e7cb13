/**
 * Times contenders against each other in one run: round after round, each once, so that what else the machine does hits all of them alike;
 * then medians. While one runs, the others wait.
 */
import { cpus } from 'node:os';

export interface Sample {
  /** Of one call, by the clock. */
  readonly ms: number;
  /** Of one call: time of all processors that worked on it. */
  readonly processorMs: number;
}

export interface Contender {
  readonly name: string;
  /** Takes part in the first so many rounds alone: for the slow one that is there for comparison. */
  readonly mostRounds?: number;
  /** The mean of `repeats` calls, one after the other. */
  measure(repeats: number): Promise<Sample>;
}

export interface Timing {
  readonly name: string;
  readonly medianMs: number;
  readonly minMs: number;
  readonly medianProcessorMs: number;
  /** Calls in each sample. */
  readonly repeats: number;
  readonly samples: readonly Sample[];
}

export interface Interleaved {
  readonly timings: readonly Timing[];
  /** Processors that other processes kept busy meanwhile: above a tenth or so, times by the clock are not to be trusted. */
  readonly otherProcessors: number;
}

export interface InterleaveOptions {
  readonly rounds: number;
  /** A sample takes at least this long, by repeating short calls; default 200. */
  readonly leastSampleMs?: number;
  /** Pause before each sample, in which the threads of the last contender go to sleep (they spin for some milliseconds); default 20. */
  readonly settleMs?: number;
  readonly onSample?: () => void;
  /** Asked before each round after the first; true ends it there. */
  readonly stopped?: () => boolean;
}

/** One call of each to warm up, then the rounds. */
export async function interleave(
  contenders: readonly Contender[],
  { rounds, leastSampleMs = 200, settleMs = 20, onSample = () => undefined, stopped = () => false }: InterleaveOptions,
): Promise<Interleaved> {
  const otherWork = watchOtherWork();
  let ownMs = 0;
  const measure = async (contender: Contender, repeats: number): Promise<Sample> => {
    const sample = await contender.measure(repeats);
    ownMs += repeats * sample.processorMs;
    return sample;
  };
  const repeats: number[] = [];
  for (const contender of contenders) {
    const first = await measure(contender, 1);
    // the first call of all allocates; a short one is asked again before its length counts
    const { ms } = first.ms < leastSampleMs ? await measure(contender, 1) : first;
    repeats.push(Math.max(1, Math.ceil(leastSampleMs / Math.max(ms, 0.01))));
    onSample();
  }
  const samples: Sample[][] = contenders.map(() => []);
  for (let round = 0; round < rounds && (round === 0 || !stopped()); round++) {
    for (const [i, contender] of contenders.entries()) {
      if (round >= (contender.mostRounds ?? rounds)) continue;
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      samples[i]?.push(await measure(contender, repeats[i] as number));
      onSample();
    }
  }
  const timings = contenders.map(({ name }, i) => {
    const own = samples[i] as Sample[];
    return {
      name,
      medianMs: median(own.map(({ ms }) => ms)),
      minMs: Math.min(...own.map(({ ms }) => ms)),
      medianProcessorMs: median(own.map(({ processorMs }) => processorMs)),
      repeats: repeats[i] as number,
      samples: own,
    };
  });
  return { timings, otherProcessors: otherWork(ownMs) };
}

/** Begin; the function that comes back gives the processors that were busy since with anything but `ownMs` of processor time. */
function watchOtherWork(): (ownMs: number) => number {
  const busy = (): number => cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys, 0);
  const [start, before] = [performance.now(), busy()];
  return (ownMs) => Math.max(0, busy() - before - ownMs) / (performance.now() - start);
}

/** Measures `call` in this process. */
export async function measureCalls(call: () => Promise<unknown>, repeats: number): Promise<Sample> {
  const processor = process.cpuUsage();
  const start = performance.now();
  for (let i = 0; i < repeats; i++) await call();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(processor);
  return { ms: ms / repeats, processorMs: (user + system) / 1000 / repeats };
}

/** The middle one, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}
