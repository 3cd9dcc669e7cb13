/** The loss of mixed and smoothed labels against a loop. */
import { initWeights, Random, ndArray, type NamedArrays } from '@coda-nets/core';
import { eagerEngine } from '@coda-nets/engine';
import { expectClose, expectNoLeak, useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, expect, it } from 'vitest';
import { initialSlots, mixedInputs, optimiser, trainingStep } from '../src/index.ts';
import { side, tinyNetwork } from './tiny-network.ts';

/** float32 sums over 192 inputs. */
const TOLERANCE = { rtol: 1e-5, atol: 1e-6 } as const;
const network = tinyNetwork();
const weights = initWeights(network, Random.seeded(2));
const cpu = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });
const random = Random.seeded(3);
const images = ndArray(
  'float32',
  [3, side, side, 3],
  Float32Array.from({ length: 3 * side * side * 3 }, () => random.uniform()),
);
const [own, others, shares] = [
  [0, 3, 1],
  [2, 3, 0],
  [0.25, 0.5, 1],
] as const;

beforeAll(() => useBackend('cpu'));

/** −mean_i Σ_c t_ic log softmax(z_i)_c */
function twin(mixed: boolean, smoothing: number): number {
  const [w, b] = [weights['fc.weight']?.data as Float32Array, weights['fc.bias']?.data as Float32Array];
  let loss = 0;
  for (let i = 0; i < 3; i++) {
    const logits = [0, 1, 2, 3].map(
      (c) =>
        (b[c] as number) +
        Array.from({ length: 192 }, (_, k) => (images.data[i * 192 + k] as number) * (w[k * 4 + c] as number)).reduce((x, y) => x + y),
    );
    const sum = logits.map(Math.exp).reduce((x, y) => x + y);
    for (let c = 0; c < 4; c++) {
      const share = mixed ? (shares[i] as number) : 1;
      const hard = (own[i] === c ? share : 0) + (others[i] === c ? 1 - share : 0);
      loss -= ((1 - smoothing) * hard + smoothing / 4) * ((logits[c] as number) - Math.log(sum));
    }
  }
  return loss / 3;
}

it.each([
  [false, 0],
  [true, 0],
  [false, 0.2],
  [true, 0.1],
])('mixed %s, smoothing %s', async (mixed, labelSmoothing) => {
  const sgd = optimiser({ kind: 'sgd', momentum: 0, nesterov: false }, { weightDecay: 0, decays: () => false });
  await expectNoLeak(async () => {
    const step = trainingStep({ network, optimiser: sgd, batchSize: 3, mixed, labelSmoothing });
    const compiled = await cpu.compile(step.fn, step.signature(weights, initialSlots(sgd, network.weights)));
    const inputs: NamedArrays = {
      images,
      labels: ndArray('int32', [3], Int32Array.from(own)),
      ...(mixed && {
        [mixedInputs.labels]: ndArray('int32', [3], Int32Array.from(others)),
        [mixedInputs.weights]: ndArray('float32', [3], Float32Array.from(shares)),
      }),
      ...step.scalars({ learningRate: 0.1, step: 1 }),
    };
    const { loss } = await compiled.run(inputs);
    await compiled.dispose();
    expectClose(loss?.data as Float32Array, [twin(mixed, labelSmoothing)], TOLERANCE);
  });
  expect(twin(true, 0)).not.toBeCloseTo(twin(false, 0), 3);
});
