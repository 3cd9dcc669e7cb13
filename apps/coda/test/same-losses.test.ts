/** The same network, seed and data give the same losses on ONNX Runtime and on TensorFlow, step by step. Skipped, visibly, where TensorFlow is not set up. */
import { initWeights, ndArray, Random, type Engine } from '@coda-nets/core';
import { onnxRuntimeEngine, resolveEngine } from '@coda-nets/engine';
import { initialSlots, optimiser, trainingStep } from '@coda-nets/train';
import { expectClose, hasBackend, randomValues } from '@coda-nets/tools/testkit';
import { describe, it } from 'vitest';
import { buildNetwork } from '../src/index.ts';

const STEPS = 50;
/** Rounding differs from the first step on, and training amplifies it: what is asked of engines is a thousandth of a loss. */
const TOLERANCE = { atol: 1e-3 };
const [batchSize, side, classes] = [8, 8, 4];
const network = buildNetwork(
  { kind: 'resnet', depth: 8, width: 4, inputShape: [side, side, 3], classes } as Parameters<typeof buildNetwork>[0],
  'test',
);

async function losses(engine: Engine): Promise<Float32Array> {
  const sgd = optimiser({ kind: 'sgd', momentum: 0.9, nesterov: true });
  const step = trainingStep({ network, optimiser: sgd, batchSize });
  const compiled = await engine.compile(
    step.fn,
    step.signature(initWeights(network, Random.seeded(1)), initialSlots(sgd, network.weights)),
  );
  const seen = new Float32Array(STEPS);
  for (let i = 0; i < STEPS; i++) {
    const images = ndArray('float32', [batchSize, side, side, 3], randomValues(batchSize * side * side * 3, 100 + i, { min: 0 }));
    const labels = ndArray(
      'int32',
      [batchSize],
      Int32Array.from({ length: batchSize }, (_, n) => (n + i) % classes),
    );
    const { loss } = await compiled.run({ images, labels, ...step.scalars({ learningRate: 0.02, step: i + 1 }) });
    seen[i] = loss?.data[0] as number;
  }
  await compiled.dispose();
  return seen;
}

const here = await hasBackend('tensorflow');

describe.skipIf(!here)(`losses of ${STEPS} steps${here ? '' : ' (SKIPPED: TensorFlow is not set up here)'}`, () => {
  it('are the same on ONNX Runtime and TensorFlow', async () => {
    const expected = await losses(await onnxRuntimeEngine({ threads: 1 }));
    expectClose(await losses((await resolveEngine('tensorflow')).engine), expected, TOLERANCE);
    // compiling and loading take longer than the steps
  }, 180_000);
});
