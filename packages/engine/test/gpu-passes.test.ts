/** The passes for GPUs on every operation of the conformance suite, run where there is always a runtime: on the CPU. */
import type { Engine, Signature, TensorFunction } from '@coda-nets/core';
import { openOnnx } from '@coda-nets/engine';
import { encodeModel, gpuPasses, runPasses, trace } from '@coda-nets/onnx';
import { useReference } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { casesOf, type Operation } from './conformance/operation.ts';
import { operations } from './conformance/operations.ts';
import { runCases } from './conformance/run-cases.ts';

const SEED = 13;
const CASES = 3;

beforeAll(async () => {
  await useReference();
  tf.dispose(tf.add(1, 2));
  // its search for leaks counts what a gradient saves of a result that lies elsewhere
  tf.env().set('IS_TEST', false);
});

const withPasses: Pick<Engine, 'compile'> = {
  compile: async (fn: TensorFunction, signature: Signature) => {
    const file = await openOnnx(encodeModel(runPasses(trace(fn, signature), gpuPasses)), 'gpu.onnx', { threads: 1 });
    return { run: (inputs) => file.run(inputs), carried: () => Promise.resolve({}), dispose: () => file.dispose() };
  },
};

describe('graphs for GPUs', () => {
  it.each(operations.map((o) => [o.name, o] as const))('%s', async (_, operation: Operation) => {
    await expect(runCases(fc.sample(casesOf(operation), { seed: SEED, numRuns: CASES }), withPasses)).resolves.toBeUndefined();
  });
});
