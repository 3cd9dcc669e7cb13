/** The passes for GPUs on whole training steps, run where there is always a runtime: on the CPU. */
import { initWeights, ndArray, Random, sizeOf, type NamedArrays } from '@coda-nets/core';
import { codaNetwork, codaPresets } from '@coda-nets/dau';
import { onnxRuntimeEngine, openOnnx } from '@coda-nets/engine';
import { carriedOutput, encodeModel, gpuPasses, runPasses, trace, type Graph } from '@coda-nets/onnx';
import { initialSlots, optimiser, trainingStep } from '@coda-nets/train';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';

/** Sums in another order, through a few layers and a division by their root. */
const TOLERANCE = { rtol: 2e-5, atol: 1e-7, relativeTo: 'largest' } as const;

const unit = (out: number, kernel: number) => ({ out, kernel, stride: 1, rank: 3 });
const layers = [unit(6, 3), unit(6, 3), unit(6, 3), unit(10, 1)];

beforeAll(() => useBackend('cpu'));

describe('a step for a GPU', () => {
  it.each([
    { kind: 'sgd', momentum: 0.9, nesterov: true },
    { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 'coupled' },
  ] as const)('a training step with $kind: fewer nodes of the same numbers', async (kind) => {
    const network = codaNetwork({ ...codaPresets['s-cifar10'], inputShape: [12, 12, 3], layers, temperature: 8 });
    const random = Random.seeded(2);
    const weights = initWeights(network, random.split('weights'));
    const optimise = optimiser(kind, { weightDecay: 1e-3, decays: (name) => network.weights[name]?.decay ?? false });
    const step = trainingStep({ network, optimiser: optimise, batchSize: 5 });
    const signature = step.signature(weights, initialSlots(optimise, network.weights));
    const shape = [5, ...network.inputShape];
    const images = ndArray(
      'float32',
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => random.uniform()),
    );
    const labels = ndArray('int32', [5], Int32Array.of(0, 1, 2, 3, 0));
    const inputs = { images, labels, ...step.scalars({ learningRate: 0.01, step: 1 }), ...signature.carried };
    const recorded = trace(step.fn, signature);
    const forGpu = runPasses(recorded, gpuPasses);
    const launches = ({ nodes }: Graph): number => nodes.filter(({ op, outputIndex = 0 }) => op !== 'Reshape' && outputIndex === 0).length;
    expect(launches(forGpu)).toBeLessThan(0.95 * launches(recorded));
    const [before, after] = await Promise.all([resultsOf(recorded, inputs), resultsOf(forGpu, inputs)]);
    expect(Object.keys(after)).toEqual(Object.keys(before));
    for (const [name, { data }] of Object.entries(before)) {
      expectClose(after[name]?.data as Float32Array, data as Float32Array, TOLERANCE);
    }
    const engine = await onnxRuntimeEngine({ threads: 1, blocked: false });
    const compiled = await engine.compile(step.fn, signature);
    await compiled.run({ images, labels, ...step.scalars({ learningRate: 0.01, step: 1 }) });
    for (const [name, { data }] of Object.entries(await compiled.carried())) {
      expectClose(after[carriedOutput(name)]?.data as Float32Array, data as Float32Array, TOLERANCE);
    }
    await compiled.dispose();
  });
});

async function resultsOf(graph: Graph, inputs: NamedArrays): Promise<NamedArrays> {
  const file = await openOnnx(encodeModel(graph), 'step.onnx', { threads: 1 });
  try {
    return await file.run(inputs);
  } finally {
    await file.dispose();
  }
}
