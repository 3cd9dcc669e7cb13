/**
 * An order of the images of several archives that reads each of them from front to back and is shuffled all the same, as WebDataset's readers do: the
 * archives in a random order, several of them read in turns, and their images drawn from a buffer. It is an order like any other, computed ahead: so a
 * run can be taken up again anywhere in it, and any number of workers sees the same.
 */
import type { Random } from '@coda-nets/core';

export interface ShardOrderOptions {
  /** Archives that are read in turns. */
  readonly readers: number;
  /** Images from which the next one is drawn. */
  readonly buffer: number;
}

/** `lengths[s]`: how many images archive s has; they are numbered through, archive after archive. */
export function shardOrder(lengths: readonly number[], { readers, buffer }: ShardOrderOptions, random: Random): Uint32Array {
  const starts: number[] = [];
  let total = 0;
  for (const length of lengths) {
    starts.push(total);
    total += length;
  }
  const waiting = Array.from(random.split('shards').permutation(lengths.length));
  const draws = random.split('buffer');
  const open: { next: number; end: number }[] = [];
  const held: number[] = [];
  const order = new Uint32Array(total);
  let turn = 0;
  let filled = 0;
  const read = (): number | undefined => {
    while (open.length < readers && waiting.length > 0) {
      const shard = waiting.shift() as number;
      const next = starts[shard] as number;
      if ((lengths[shard] as number) > 0) open.push({ next, end: next + (lengths[shard] as number) });
    }
    if (open.length === 0) return undefined;
    turn %= open.length;
    const reader = open[turn] as { next: number; end: number };
    const image = reader.next++;
    if (reader.next === reader.end) open.splice(turn, 1);
    else turn++;
    return image;
  };
  for (;;) {
    const image = read();
    if (image !== undefined) held.push(image);
    if (held.length === 0) return order;
    if (image !== undefined && held.length < buffer) continue;
    const at = draws.below(held.length);
    order[filled++] = held[at] as number;
    held[at] = held.at(-1) as number;
    held.pop();
  }
}
