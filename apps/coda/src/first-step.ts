/**
 * Where a function and its graph part: kernel by kernel, an eager run beside a trace whose every result is an output; and where a file parts from the graph that
 * its model is exported to now: node by node, by their names.
 */
import { CodaError, type Engine, type NamedArrays, type NdArray, type Signature, type TensorFunction } from '@coda-nets/core';
import { openOnnx } from '@coda-nets/engine';
import { encodeModel, giveNames, traceSteps, withOutputs, type Graph, type ModelOptions, type TraceOptions } from '@coda-nets/onnx';
import { difference, largest } from './difference.ts';
import { eagerSteps } from './eager-steps.ts';

/** The first kernel whose result in ONNX Runtime is not the eager one. */
export interface StepDifference {
  readonly kernel: string;
  /** From 1, of how many the function runs. */
  readonly step: number;
  readonly steps: number;
  /** The operators it became. */
  readonly operators: readonly string[];
  /** Weights that it reads. */
  readonly reads: readonly string[];
  /** Where the function called it, as `file.ts:12:5`; undefined inside of libraries. */
  readonly site: string | undefined;
  readonly shape: readonly number[];
  /** Relative to the largest number of the eager result where that is above 1. */
  readonly deviation: number;
}

export interface StepOptions {
  readonly reference: Engine;
  readonly tolerance: number;
  readonly trace?: TraceOptions;
}

/** Undefined where every kernel agrees: the graph that is traced computes what the function does, and what differs is a file of something else. */
export async function firstStepDifference(
  fn: TensorFunction,
  signature: Signature,
  inputs: NamedArrays,
  { reference, tolerance, trace = {} }: StepOptions,
): Promise<StepDifference | undefined> {
  const expected = await eagerSteps(reference, fn, signature, inputs);
  const { graph, steps } = traceSteps(fn, signature, trace);
  const file = await openOnnx(encodeModel(graph), 'the graph of every kernel');
  try {
    const got = await file.run(Object.fromEntries(file.inputs.map(({ name }) => [name, inputs[name] as NdArray])));
    for (const [i, { kernel, outputs, operators, reads, site }] of steps.entries()) {
      const eager = expected[i];
      if (eager?.kernel !== kernel) {
        throw new CodaError({
          kind: 'mismatch',
          where: `step ${i + 1}`,
          problem: 'the function runs other kernels when it is traced',
          expected: eager?.kernel ?? 'the end',
          got: kernel,
        });
      }
      for (const [k, output] of outputs.entries()) {
        const [a, b] = [got[output], eager.results[k]];
        if (a === undefined || b === undefined) continue;
        const deviation = relative(a, b);
        if (deviation <= tolerance) continue;
        return { kernel, step: i + 1, steps: steps.length, operators, reads, site, shape: b.shape, deviation };
      }
    }
    return undefined;
  } finally {
    await file.dispose();
  }
}

/** The first value of a file that is not that of the graph its model is exported to. */
export interface NodeDifference {
  readonly name: string;
  readonly op: string | undefined;
  readonly deviation: number;
  /** Not in the graph at all: the file was made otherwise, and its values before this one agree. */
  readonly unknown: boolean;
}

/** Undefined where all values that the two have under one name agree. `feeds`: what both take. */
export async function firstNodeDifference(
  bytes: Uint8Array,
  where: string,
  { graph, modelOptions }: { readonly graph: Graph; readonly modelOptions: ModelOptions },
  feeds: NamedArrays,
  tolerance: number,
): Promise<NodeDifference | undefined> {
  const names = giveNames(graph);
  const floats = graph.nodes.filter(({ output }) => output.dtype === 'float32');
  const opOf = new Map(floats.map(({ op, output }) => [names.get(output) as string, op]));
  const known = new Set(opOf.keys());
  const probe = withOutputs(bytes, known);
  const own = withOutputs(encodeModel(graph, modelOptions), known);
  const file = await openOnnx(probe.bytes, where);
  const again = await openOnnx(own.bytes, 'the model, exported again');
  try {
    const [got, expected] = [await file.run(feeds), await again.run(feeds)];
    const exported = new Set(own.computed);
    for (const name of probe.computed) {
      const [a, b] = [got[name], expected[name]];
      if (a !== undefined && b !== undefined) {
        const deviation = relative(a, b);
        if (deviation > tolerance) return { name, op: opOf.get(name), deviation, unknown: false };
      } else if (!exported.has(name)) return { name, op: undefined, deviation: Infinity, unknown: true };
    }
    return undefined;
  } finally {
    await file.dispose();
    await again.dispose();
  }
}

const relative = (a: NdArray, b: NdArray): number => {
  const [x, y] = [a.data, b.data] as [ArrayLike<number>, ArrayLike<number>];
  return difference(x, y) / largest(y, 1);
};
