/** Ranks that live in one process and exchange arrays through memory: a slow twin of MPI, which shows what training makes of a group without starting one. */
import type { GroupArray, ProcessGroup, Reducible, Reduction } from '@coda-nets/core';

interface Meeting {
  readonly arrays: GroupArray[];
  readonly labels: string[];
  readonly done: Promise<void>;
  readonly all: () => void;
}

const reduce: Readonly<Record<Reduction, (a: number, b: number) => number>> = { sum: (a, b) => a + b, max: Math.max, min: Math.min };

/** `size` groups, one for each rank. Rejects calls of one place with different labels. */
export function localGroup(size: number): readonly ProcessGroup[] {
  const meetings: Meeting[] = [];
  /** The arrays of all ranks, once all are there. */
  const meet = async (place: number, rank: number, array: GroupArray, label: string): Promise<readonly GroupArray[]> => {
    if (meetings[place] === undefined) {
      let all = (): void => undefined;
      const done = new Promise<void>((resolve) => (all = resolve));
      meetings[place] = { arrays: [], labels: [], done, all };
    }
    const { arrays, labels, done, all } = meetings[place] as Meeting;
    arrays[rank] = array.slice();
    labels.push(label);
    if (labels.length === size) all();
    await done;
    if (labels.some((other) => other !== label)) throw new Error(`ranks meet in different calls: ${labels.join(', ')}`);
    return arrays;
  };
  return Array.from({ length: size }, (_, rank) => {
    let calls = 0;
    return {
      rank,
      size,
      name: `rank ${rank} of ${size}`,
      allReduce: async (values: Reducible, reduction, label) => {
        const arrays = (await meet(calls++, rank, values, label)) as Float64Array[];
        for (let i = 0; i < values.length; i++)
          values[i] = arrays.map((array) => array[i] as number).reduce((a, b) => reduce[reduction](a, b));
      },
      broadcast: async (values, label, root = 0) => {
        const arrays = await meet(calls++, rank, values, label);
        values.set(arrays[root] as never);
      },
      allGather: async <T extends GroupArray>(values: T, label: string) =>
        (await meet(calls++, rank, values, label)).map((array) => array.slice() as T),
      barrier: async (label) => void (await meet(calls++, rank, new Uint8Array(0), label)),
      report: () => ({ calls, bytes: 0, waited: 0, moved: 0 }),
      abort: async (error) => {
        throw error;
      },
      close: async () => undefined,
    } satisfies ProcessGroup;
  });
}
