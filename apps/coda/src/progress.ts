/** Progress of long work on standard error: a bar with rate and time left on a terminal, a line a minute elsewhere. */
import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  /** `done` of the total, with the part of the one that is under way; `note` stands behind the bar. Told the same again, it counts time from there. */
  update(done: number, note?: string): void;
  stop(): void;
}

/** Between two lines where there is no terminal, whichever work they are of: a log of hours is to be read by people. */
const LINE_INTERVAL_MS = 60_000;
/** Of a work before its first line: one that takes no longer has none. */
const FIRST_LINE_MS = 10_000;
let lastLine = -Infinity;

export function progressBar(label: string, total: number, unit: string): Progress {
  // work may start in the middle, and after a preparation: the rate is of what was done since the last word of where it started
  let first: { readonly done: number; readonly at: number } | undefined;
  const perSecond = (done: number): number => {
    if (first === undefined || done <= first.done) first = { done, at: performance.now() };
    return (1000 * (done - first.done)) / (performance.now() - first.at);
  };
  /** Rate and time left; nothing before there is any. */
  const rateOf = (done: number): string => {
    const rate = perSecond(done);
    if (!(rate > 0 && rate < Infinity)) return '';
    const pace = rate < 0.1 ? `${duration(1 / rate)} each` : `${rate >= 10 ? rate.toFixed(0) : rate.toFixed(1)}/s`;
    return `, ${pace}, ${duration((total - done) / rate)} left`;
  };
  if (!process.stderr.isTTY) {
    const begun = performance.now();
    return {
      update: (done, note = '') => {
        // asked every time: the rate is of what was done since the first word
        const rate = rateOf(done);
        const now = performance.now();
        if (now - begun < FIRST_LINE_MS || now - lastLine < LINE_INTERVAL_MS) return;
        lastLine = now;
        process.stderr.write(`${label}: ${shown(done)}/${total} ${unit}${rate} ${note}`.trimEnd() + '\n');
      },
      stop: () => undefined,
    };
  }
  const format = `${label} {bar} {done}/{total} ${unit}{rate} {note}`;
  const bar = new SingleBar({ format, stream: process.stderr, hideCursor: true, barsize: 24 }, Presets.shades_classic);
  bar.start(total, 0, { done: '0', rate: '', note: '' });
  return {
    update: (done, note = '') => bar.update(done, { done: shown(done), rate: rateOf(done), note }),
    stop: () => bar.stop(),
  };
}

/** Whole ones as they are. */
function shown(done: number): string {
  return Number.isInteger(done) ? String(done) : done.toFixed(2);
}

/** Seconds as `1 h 02 min`, `3 min 20 s` or `12 s`. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, '0')} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, '0')} s` : `${s} s`;
}
