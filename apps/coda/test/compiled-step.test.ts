/** One compiled training step, and one on TensorFlow where it is set up, against eager TensorFlow.js on the cpu backend: every gradient, weight, slot and running statistic. */
import { initWeights, ndArray, Random, trainingContext, type Network } from '@coda-nets/core';
import { eagerEngine, onnxRuntimeEngine, tensorFlowEngine } from '@coda-nets/engine';
import { initialSlots, optimiser, slotName, trainingStep, type OptimiserConfig } from '@coda-nets/train';
import { expectClose, expectNoLeak, hasBackend, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildNetwork } from '../src/index.ts';

/** Float32 sums of a few thousand products in two orders, of the largest of each tensor. */
const TOLERANCE = { rtol: 1e-5, relativeTo: 'largest' } as const;
const [batchSize, side, classes] = [4, 8, 5];
const backbone = { kind: 'resnet', depth: 8, width: 4, inputShape: [side, side, 3] };
const head = {
  temperature: 8,
  layers: [
    { out: 6, kernel: 3, stride: 2, rank: 3 },
    { out: classes, kernel: 1, rank: 3 },
  ],
};
const networkOf = (config: object): Network => buildNetwork(config as Parameters<typeof buildNetwork>[0], 'test');

beforeAll(() => useBackend('cpu'));

/** `share` of the gradient is in the slot m after the first step. */
const cases: readonly [string, Network, OptimiserConfig, number][] = [
  ['a ResNet with SGD', networkOf({ ...backbone, classes }), { kind: 'sgd', momentum: 0.9, nesterov: true }, 1],
  [
    'a hybrid with a trained stem and Adam',
    networkOf({ kind: 'hybrid', backbone, cut: 'layer2.0', stem: 'trained', classes, head }),
    // large against rounding: a gradient that is zero but for it must not move a weight by a whole step
    { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-3, decay: 'decoupled' },
    0.1,
  ],
];

const tensorFlow = (await hasBackend('tensorflow')) ? [tensorFlowEngine] : [];

describe.each(cases)(
  `the training step of %s, compiled${tensorFlow.length > 0 ? ' and on TensorFlow' : ' (TensorFlow SKIPPED: not set up here)'},`,
  (_, network, config, share) => {
    it('equals the eager one', async () => {
      const weights = initWeights(network, Random.seeded(7));
      const pixels = randomValues(batchSize * side * side * 3, 8, { min: 0 });
      const labels = Int32Array.of(0, 3, 1, 4);
      const trained = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');
      const carriesStatistics = Object.values(network.weights).some(({ role }) => role === 'statistic');
      expect([trained.length > 10, carriesStatistics]).toEqual([true, true]);

      // the gradients by tfjs alone, without the training step
      const gradients = tf.tidy(() => {
        const tensors = Object.fromEntries(
          Object.entries(weights).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]),
        );
        const images = tf.tensor4d(pixels, [batchSize, side, side, 3]);
        const targets = tf.oneHot(tf.tensor1d(labels, 'int32'), classes, 1, 0, 'float32') as tf.Tensor2D;
        const objective = (...values: tf.Tensor[]): tf.Tensor => {
          const given = { ...tensors, ...Object.fromEntries(trained.map((name, i) => [name, values[i] as tf.Tensor])) };
          return network.loss(network.forward(given, images, trainingContext).logits, targets);
        };
        return tf
          .grads(objective)(trained.map((name) => tensors[name] as tf.Tensor))
          .map((g) => g.dataSync().slice());
      });

      const decays = (name: string): boolean => network.weights[name]?.decay ?? false;
      const rateOf = (name: string): number => (name.includes('bn1') ? 0.5 : 1);
      const after = async (weightDecay: number) => {
        const optimise = optimiser(config, { weightDecay, decays, rateOf });
        const step = trainingStep({ network, optimiser: optimise, batchSize });
        const inputs = {
          images: ndArray('float32', [batchSize, side, side, 3], pixels),
          labels: ndArray('int32', [batchSize], labels),
          ...step.scalars({ learningRate: 0.01, step: 1 }),
        };
        const results = [];
        const cpu = async () => eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });
        for (const open of [cpu, () => onnxRuntimeEngine({ threads: 1 }), ...tensorFlow]) {
          const engine = await open();
          const compiled = await engine.compile(step.fn, step.signature(weights, initialSlots(optimise, network.weights)));
          const output = await compiled.run(inputs);
          results.push({ output, carried: await compiled.carried() });
          if (engine.name === 'tensorflow') await expectNoLeak(() => compiled.run(inputs));
          await compiled.dispose();
        }
        return results as [(typeof results)[0], ...typeof results];
      };

      const [, ...plain] = await after(0);
      for (const { carried } of plain) {
        for (const [i, name] of trained.entries()) {
          const gradient = (carried[slotName(name, 'm')]?.data as Float32Array).map((m) => m / share);
          expect(gradient.some((g) => g !== 0)).toBe(true);
          expectClose(gradient, gradients[i] as Float32Array, TOLERANCE);
        }
      }
      const [eager, ...others] = await after(0.1);
      for (const other of others) {
        expectClose(other.output['loss']?.data as Float32Array, eager.output['loss']?.data as Float32Array, TOLERANCE);
        expect(other.output['correct']).toEqual(eager.output['correct']);
        expect(Object.keys(other.carried).sort()).toEqual(Object.keys(eager.carried).sort());
        for (const [name, { data }] of Object.entries(eager.carried)) {
          expectClose(other.carried[name]?.data as Float32Array, data as Float32Array, TOLERANCE);
          if (Object.hasOwn(network.weights, name)) expect([name, data]).not.toEqual([name, weights[name]?.data]);
        }
      }
    });
  },
);
