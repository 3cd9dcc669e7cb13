/** A function as the graph of every kernel it runs, to find where an eager run and a compiled one part. */
import { CodaError, type Signature, type TensorFunction } from '@coda-nets/core';
import type { Graph } from './graph.ts';
import type { RecordedStep } from './recording-backend.ts';
import { stepOutput, traceOnce, type TraceOptions } from './trace-once.ts';
import { traceSizes, type Sizes } from './trace-sizes.ts';

/** A kernel that the function ran, and what it became. Copies (Identity) are none. */
export interface TraceStep extends Pick<RecordedStep, 'kernel' | 'reads' | 'operators' | 'site'> {
  /** Outputs of the graph, one for each result of the kernel: in the shape and order in which TensorFlow.js has it. */
  readonly outputs: readonly string[];
}

/**
 * The graph of `fn` with the results of every kernel as its outputs instead of those of `fn`, to be compared with an eager run kernel by kernel. Throws what
 * `trace` throws, and for a signature with open sizes.
 */
export function traceSteps(
  fn: TensorFunction,
  signature: Signature,
  options: TraceOptions = {},
): { readonly graph: Graph; readonly steps: readonly TraceStep[] } {
  const [sizes] = traceSizes(signature) as [Sizes];
  if (sizes.size > 0) {
    throw new CodaError({
      kind: 'argument',
      where: 'traceSteps: signature',
      problem: 'open sizes',
      expected: 'numbers alone',
      got: [...sizes.keys()].join(', '),
    });
  }
  const { graph, steps } = traceOnce(fn, signature, sizes, options, true);
  return {
    graph,
    steps: steps.map(({ kernel, reads, operators, site, results }, i) => {
      return { kernel, reads, operators, site, outputs: results.map((_, k) => stepOutput(i, k)) };
    }),
  };
}
