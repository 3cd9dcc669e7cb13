/** Every operation of the conformance suite as a file would have it: without products, cleaned by all passes, at the newest opset. */
import type { Engine, Signature, TensorFunction } from '@coda-nets/core';
import { openOnnx } from '@coda-nets/engine';
import { encodeModel, inferencePasses, opsets, runPasses, trace } from '@coda-nets/onnx';
import { useReference } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { casesOf, type Operation } from './conformance/operation.ts';
import { operations } from './conformance/operations.ts';
import { runCases } from './conformance/run-cases.ts';

/** Other cases than those of the suite itself, and fewer: what is new here is moving and merging. */
const SEED = 11;
const CASES = 6;

beforeAll(async () => {
  await useReference();
  tf.dispose(tf.add(1, 2));
  // its search for leaks counts what a gradient saves of a result that lies elsewhere
  tf.env().set('IS_TEST', false);
});

const cleaned: Pick<Engine, 'compile'> = {
  compile: async (fn: TensorFunction, signature: Signature) => {
    const graph = runPasses(trace(fn, signature, { convolutionsAsProducts: false }), inferencePasses);
    const file = await openOnnx(encodeModel(graph, { opset: opsets.at(-1) as number }), 'cleaned.onnx', { threads: 1 });
    return { run: (inputs) => file.run(inputs), carried: () => Promise.resolve({}), dispose: () => file.dispose() };
  },
};

it.each(operations.map((o) => [o.name, o] as const))('%s', async (_, operation: Operation) => {
  await expect(runCases(fc.sample(casesOf(operation), { seed: SEED, numRuns: CASES }), cleaned)).resolves.toBeUndefined();
});
