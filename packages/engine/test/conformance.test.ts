/**
 * Every kernel that is recorded, and its gradient, against TensorFlow.js on the cpu backend: generated over shapes, attributes, dtypes and the ways in which
 * operands lie in the graph. All cases of an operation run in one graph; when that fails they run one by one, so that fast-check shrinks the one that does.
 */
import { meanOverRanksKernel } from '@coda-nets/core';
import { kernelSupport } from '@coda-nets/onnx';
import { useReference } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { casesOf, type Operation } from './conformance/operation.ts';
import { operations } from './conformance/operations.ts';
import { runCases } from './conformance/run-cases.ts';

const SEED = Number(process.env['CONFORMANCE_SEED'] ?? 4);
/** For each operation: at least 2,000 in all. Another seed and more cases look further: CONFORMANCE_SEED=7 CONFORMANCE_CASES=100. */
const CASES = Number(process.env['CONFORMANCE_CASES'] ?? 16);

const kernels = new Set<string>();

beforeAll(async () => {
  await useReference();
  tf.dispose(tf.add(1, 2));
  // its search for leaks counts what a gradient saves of a result that lies elsewhere
  tf.env().set('IS_TEST', false);
  const engine = tf.engine();
  const { runKernel } = engine;
  engine.runKernel = function noted(name, ...rest) {
    kernels.add(name);
    return runKernel.call(engine, name, ...rest) as never;
  };
});

describe('compiled equals eager', () => {
  it.each(operations.map((o) => [o.name, o] as const))('%s', async (_, operation: Operation) => {
    const options = { seed: SEED, numRuns: CASES };
    const cases = fc.sample(casesOf(operation), options);
    try {
      await runCases(cases);
    } catch (together) {
      await fc.assert(
        fc.asyncProperty(casesOf(operation), (single) => runCases([single])),
        { ...options, endOnFailure: false },
      );
      throw together;
    }
  });

  it('in more than 2,000 cases, which run every kernel that is recorded', () => {
    expect(operations.length * CASES).toBeGreaterThanOrEqual(2000);
    const recorded = kernelSupport().flatMap(({ kernelName, reason }) => (reason === undefined ? [kernelName] : []));
    // a mark at which graphs are cut, which no runtime knows: stages.test.ts
    const marks = new Set([meanOverRanksKernel]);
    expect(recorded.filter((name) => !kernels.has(name) && !marks.has(name))).toEqual([]);
  });
});
