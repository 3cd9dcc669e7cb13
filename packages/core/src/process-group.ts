/**
 * The contract of processes that work on one thing together: who they are, and how arrays go between them. Says nothing of how they were started or
 * by what they talk: that is `@coda-nets/distributed`. One process is a group as well, so that what is written for many runs alone.
 */

/** What ranks exchange. Arrays of one call have one type, and where nothing else is said one length, on every rank. */
export type GroupArray = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;
/** What can be added up. */
export type Reducible = Exclude<GroupArray, Uint8Array>;

export type Reduction = 'sum' | 'max' | 'min';

/** Since the group was opened, on this rank. */
export interface GroupReport {
  /** Collective calls that have ended. */
  readonly calls: number;
  /** Bytes of this rank in them. */
  readonly bytes: number;
  /** Milliseconds in which this rank was there and others were not yet. */
  readonly waited: number;
  /** Milliseconds in which all were there and data moved. */
  readonly moved: number;
}

/**
 * Every rank makes the same collective calls in the same order; a call may be made before the one before it has ended, and ends after it. Arrays must not
 * be touched until then. `label` says in errors what was waited for: `gradients of step 12`.
 */
export interface ProcessGroup {
  /** From 0. */
  readonly rank: number;
  readonly size: number;
  /** For people: `rank 1 of 4 (node7, process 1234)`. */
  readonly name: string;
  /** In place: afterwards `values` holds the sum, largest or smallest over all ranks, the same bits on each. */
  allReduce(values: Reducible, reduction: Reduction, label: string): Promise<void>;
  /** In place: afterwards `values` of every rank are those of `root`, by default rank 0. */
  broadcast(values: GroupArray, label: string, root?: number): Promise<void>;
  /** The arrays of all ranks in their order; each may have a length of its own. */
  allGather<T extends GroupArray>(values: T, label: string): Promise<T[]>;
  /** Ends when every rank has called it. */
  barrier(label: string): Promise<void>;
  report(): GroupReport;
  /** Ends all ranks with a non-zero exit, whatever they are doing, after telling of `error` and this rank. */
  abort(error: unknown): Promise<never>;
  /** The last call: every rank makes it. */
  close(): Promise<void>;
}

/** A process on its own. */
export const oneProcess: ProcessGroup = {
  rank: 0,
  size: 1,
  name: 'rank 0 of 1',
  allReduce: async () => {},
  broadcast: async () => {},
  allGather: async (values) => [values.slice() as typeof values],
  barrier: async () => {},
  report: () => ({ calls: 0, bytes: 0, waited: 0, moved: 0 }),
  abort: async (error) => {
    throw error;
  },
  close: async () => {},
};
