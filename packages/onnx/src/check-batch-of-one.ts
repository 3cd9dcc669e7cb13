/**
 * Whether a function does for one image what it does for many. Graphs of the two cannot be compared: with a batch of one nothing is broadcast along it, so
 * TensorFlow.js sums and repeats less, and axes of one element move for nothing. Which kernels the function runs beside those can, and the ranks of its results.
 */
import { CodaError } from '@coda-nets/core';
import type { Graph } from './graph.ts';

interface Trace {
  readonly graph: Graph;
  readonly kernels: readonly string[];
}

/** What broadcasting and its gradient run, or do not. */
const broadcasting = new Set(['Sum', 'Reshape', 'Tile', 'Identity']);

/** Throws a CodaError that names the first kernel, or the result, that is another for one image. */
export function checkBatchOfOne(many: Trace, one: Trace): void {
  const [expected, got] = [many, one].map(({ kernels }) => kernels.filter((name) => !broadcasting.has(name))) as [string[], string[]];
  const at = Array.from({ length: Math.max(expected.length, got.length) }, (_, i) => i).find((i) => expected[i] !== got[i]);
  if (at !== undefined) {
    throw refusal(
      `trace: ${got[at] ?? 'the end'}`,
      'other operations for a batch of one do not make a graph for any size',
      expected[at] ?? 'the end',
      got[at] ?? 'the end',
    );
  }
  for (const [name, { shape }] of Object.entries(many.graph.outputs)) {
    const single = one.graph.outputs[name];
    if (single?.shape.length === shape.length) continue;
    throw refusal(
      `trace: result "${name}"`,
      'another rank for a batch of one does not make a graph for any size',
      `${shape.length} axes`,
      `${single?.shape.length ?? 'no'} axes`,
    );
  }
}

const refusal = (where: string, problem: string, expected: string, got: string): CodaError =>
  new CodaError({
    kind: 'unsupported',
    where,
    problem,
    expected,
    got,
    hint: 'Name the axes in tf.squeeze; do not branch on the batch size, or fix it.',
  });
