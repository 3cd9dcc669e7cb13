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
  /** Asked before each sample; true ends it there, and leaves out who has none. */
  readonly stopped?: () => boolean;
}

/** Who takes long must have run before: its first call counts. A short call is tried twice at its first turn, to see how often it has to be repeated. */
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
  const turns = contenders.map((contender) => ({ contender, repeats: 0, samples: [] as Sample[] }));
  for (let round = 0; round < rounds; round++) {
    for (const turn of turns) {
      const { contender, samples } = turn;
      if (stopped() || round >= (contender.mostRounds ?? rounds)) continue;
      await new Promise((resolve) => setTimeout(resolve, settleMs));
      if (turn.repeats === 0) {
        const first = await measure(contender, 1);
        const { ms } = first.ms < leastSampleMs ? await measure(contender, 1) : first;
        turn.repeats = Math.max(1, Math.ceil(leastSampleMs / Math.max(ms, 0.01)));
        samples.push(first.ms < leastSampleMs ? await measure(contender, turn.repeats) : first);
      } else {
        samples.push(await measure(contender, turn.repeats));
      }
      onSample();
    }
  }
  const timings = turns
    .filter(({ samples }) => samples.length > 0)
    .map(({ contender: { name }, repeats, samples }) => ({
      name,
      medianMs: median(samples.map(({ ms }) => ms)),
      minMs: Math.min(...samples.map(({ ms }) => ms)),
      medianProcessorMs: median(samples.map(({ processorMs }) => processorMs)),
      repeats,
      samples,
    }));
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
