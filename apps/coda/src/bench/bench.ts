/** What a bench is for `coda bench`. */
import { CodaError, nearestName, type Engine } from '@coda-nets/core';
import type { CommandIo } from '../command-io.ts';

export interface BenchRun {
  /** Fastest first. */
  readonly engines: readonly Engine[];
  /** The Python to run twins in: what was asked for, the default one, or none. */
  readonly python: { readonly kind: 'path'; readonly path: string } | { readonly kind: 'default' | 'none' };
  /** Where the twins compute, as PyTorch names it. */
  readonly torchDevice?: string | undefined;
  /** Of each contender. */
  readonly threads: number;
  readonly rounds: number;
  /** Leave out what takes minutes. */
  readonly quick: boolean;
  readonly seed: number;
  /** Rows to measure by id; default all. */
  readonly works?: readonly string[];
  /** The row whose time is taken apart node by node. */
  readonly profile?: string;
  readonly io: CommandIo;
  readonly signal: AbortSignal;
}

export interface Bench {
  readonly name: string;
  readonly description: string;
  /** Its rows by id. */
  readonly works: readonly string[];
  /** The row that `--profile` means without a name, where the bench can take one apart. */
  readonly profiled?: string;
  /** Tells people through `io`; what it returns is the JSON of this bench. */
  run(options: BenchRun): Promise<{ readonly finished: boolean } & object>;
}

/** The row of that id. Throws a CodaError with the nearest and all of them. */
export function workNamed<T extends { readonly id: string }>(works: readonly T[], id: string, where: string): T {
  const work = works.find((candidate) => candidate.id === id);
  if (work !== undefined) return work;
  const ids = works.map((candidate) => candidate.id);
  const nearest = nearestName(id, ids);
  throw new CodaError({
    kind: 'argument',
    where,
    problem: 'no piece of work of that name',
    expected: ids.join(', '),
    got: id,
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}
