/** What long work says where there is no terminal: little. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { commandIo } from '../src/command-io.ts';
import { progressBar } from '../src/progress.ts';
import { trainBars } from '../src/train-bars.ts';

let lines: string[] = [];
beforeEach(() => {
  lines = [];
  vi.useFakeTimers({ toFake: ['performance'] });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A piece of work a second. */
function work(label: string, seconds: number): void {
  const bar = progressBar(label, seconds, 'steps');
  for (let done = 1; done <= seconds; done++) {
    vi.advanceTimersByTime(1000);
    bar.update(done, 'loss 1');
  }
  bar.stop();
}

it('short work has no line, long work one a minute, whichever part of it is told of', () => {
  work('short', 9);
  expect(lines).toEqual([]);
  work('long', 140);
  expect(lines).toEqual([
    'long: 10/140 steps, 1.0/s, 2 min 10 s left loss 1\n',
    'long: 70/140 steps, 1.0/s, 1 min 10 s left loss 1\n',
    'long: 130/140 steps, 1.0/s, 10 s left loss 1\n',
  ]);
  // 10 s after the last line begins another part
  work('next', 55);
  expect(lines.slice(3)).toEqual(['next: 50/55 steps, 1.0/s, 5 s left loss 1\n']);
});

it('of slow work the part that is under way counts, and time from where the preparation ended', () => {
  // the line of the test before was as late as this
  vi.advanceTimersByTime(1_000_000);
  const bar = progressBar('slow', 20, 'grids');
  bar.update(0, 'compiling');
  vi.advanceTimersByTime(30_000);
  bar.update(0);
  vi.advanceTimersByTime(70_000);
  bar.update(0.25);
  vi.advanceTimersByTime(210_000);
  bar.update(1);
  bar.stop();
  expect(lines).toEqual([
    'slow: 0/20 grids\n',
    'slow: 0.25/20 grids, 4 min 40 s each, 1 h 32 min left\n',
    'slow: 1/20 grids, 4 min 40 s each, 1 h 28 min left\n',
  ]);
});

it('a long validation is told of, as the training before it', () => {
  // after the line of the test before
  vi.advanceTimersByTime(2_000_000);
  const bars = trainBars(commandIo(true));
  for (let done = 0; done <= 30; done++) {
    bars.onEvent({ type: 'validation', done: 100 * done, total: 3000 });
    vi.advanceTimersByTime(1000);
  }
  bars.stop();
  expect(lines).toEqual(['validation: 1000/3000 images, 100/s, 20 s left\n']);
});
