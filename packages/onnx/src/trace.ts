/** Turns a TensorFlow.js function into a graph by running it on the recording backend: once, or once for each of several sizes where sizes are open. */
import { CodaError, type Signature, type TensorFunction } from '@coda-nets/core';
import { checkBatchOfOne } from './check-batch-of-one.ts';
import { generaliseSizes } from './generalise-sizes.ts';
import type { Graph } from './graph.ts';
import { batchOfOne, mayBeTooSmall, traceSizes } from './trace-sizes.ts';
import { traceOnce, type Traced, type TraceOptions } from './trace-once.ts';

/**
 * The graph of `fn`: inputs of the signature and carried values become inputs, constants become named constants. Open sizes of the signature (`batch`, `height`)
 * stay open: the function is traced with several sizes, and what changes is computed when the graph runs. A function that uses a size as a number (1/N) or does
 * otherwise at one of them cannot be told for any size, and is refused. What it does at sizes that are none of them, beyond 67 images or 211 pixels, is not seen.
 *
 * Throws a CodaError that names a kernel without an ONNX counterpart, a value that is read while tracing, random numbers, or a result that is no tensor.
 */
export function trace(fn: TensorFunction, signature: Signature, options: TraceOptions = {}): Graph {
  const all = traceSizes(signature);
  const traces = all.flatMap((sizes, i) => {
    const once = (): Traced => traceOnce(fn, signature, sizes, options);
    return mayBeTooSmall(all, i) ? (triedOnce(once) ?? []) : once();
  });
  const [first] = traces as [Traced];
  const graph = traces.length === 1 ? first.graph : generaliseSizes(traces);
  const single = batchOfOne(all);
  if (single !== undefined) checkBatchOfOne(first, traceOnce(fn, signature, single, options));
  return graph;
}

/** Undefined where TensorFlow.js refuses the sizes; what is refused here is refused. */
function triedOnce(once: () => Traced): Traced | undefined {
  try {
    return once();
  } catch (error) {
    if (CodaError.isInstance(error) && error.kind === 'argument' && error.cause instanceof Error) return undefined;
    throw error;
  }
}
