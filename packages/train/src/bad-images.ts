/** The images that could not be read, each counted once, and when there are too many of them. */
import { CodaError } from '@coda-nets/core';
import type { BadImage, MadeBatch } from './data/make-batch.ts';

export class BadImages {
  readonly #most: number;
  readonly #reasons = new Map<string, string>();

  /** `most`: so many are put up with. */
  constructor(most: number, known: Iterable<readonly [file: string, reason: string]> = []) {
    this.#most = most;
    for (const [file, reason] of known) this.#reasons.set(file, reason);
  }

  get count(): number {
    return this.#reasons.size;
  }

  /** File and reason, in the order in which they came. */
  get list(): readonly (readonly [file: string, reason: string])[] {
    return [...this.#reasons];
  }

  /** Notes those of a batch; returns the new ones. Throws a CodaError where there are too many, or no good one in the batch. */
  add({ bad, labels }: Pick<MadeBatch, 'bad' | 'labels'>): readonly BadImage[] {
    const fresh = bad.filter(({ file }) => !this.#reasons.has(file));
    for (const { file, reason } of fresh) this.#reasons.set(file, reason);
    if (this.#reasons.size > this.#most) {
      throw new CodaError({
        kind: 'malformed',
        where: 'images',
        problem: `${this.#reasons.size} could not be read:\n${listed(this.list)}\n`,
        expected: `at most ${this.#most} such images`,
        got: String(this.#reasons.size),
        hint: 'Repair or remove them, or put up with more: --max-bad, maxBad in a config.',
      });
    }
    if (labels.length > 0 && bad.length === labels.length) {
      const [first] = bad as [BadImage];
      throw new CodaError({
        kind: 'malformed',
        where: first.file,
        problem: `no image of a batch could be read; of this one: ${first.reason}`,
      });
    }
    return fresh;
  }
}

/** So many are shown; all of them are in metrics.jsonl. */
const mostListed = 20;

/** A line each. */
function listed(bad: readonly (readonly [file: string, reason: string])[]): string {
  const lines = bad.slice(0, mostListed).map(([file, reason]) => `  ${file}: ${reason}`);
  if (bad.length > mostListed) lines.push(`  and ${bad.length - mostListed} more`);
  return lines.join('\n');
}
