/** What a training step is as a graph: nothing that was not asked for, the blocked layout with what was, two halves that make the whole. */
import {
  initWeights,
  ndArray,
  oneHot,
  Random,
  trainingContext,
  type NamedArrays,
  type Network,
  type TensorFunction,
} from '@coda-nets/core';
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import { encodeModel, trace } from '@coda-nets/onnx';
import {
  depthInput,
  gradientOutput,
  optimiser,
  scalarInput,
  statisticOutput,
  trainingStep,
  type Optimiser,
  type OptimiserConfig,
  type TrainingStepOptions,
} from '@coda-nets/train';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildNetwork } from '../src/index.ts';

/** Four updates, float32 sums of a few thousand products in two orders, of the largest of each tensor. */
const TOLERANCE = { rtol: 2e-4, relativeTo: 'largest' } as const;
const [batchSize, side, classes] = [8, 8, 5];
const backbone = { kind: 'resnet', depth: 8, width: 16, inputShape: [side, side, 3] };
const networkOf = (config: object): Network => buildNetwork(config as Parameters<typeof buildNetwork>[0], 'test');
const residual = networkOf({ ...backbone, classes });
const narrow = networkOf({ ...backbone, width: 4, classes });
const hybrid = networkOf({
  kind: 'hybrid',
  backbone: { ...backbone, width: 4 },
  cut: 'layer2.0',
  stem: 'trained',
  classes,
  head: { temperature: 8, layers: [{ out: classes, kernel: 3, rank: 3 }] },
});
const adam: OptimiserConfig = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-3, decay: 'decoupled' };
const sgd: OptimiserConfig = { kind: 'sgd', momentum: 0.9, nesterov: true };
/** Everything that a step can have. `kept` is 0 or 1 / p. */
const everything = {
  accumulate: 2,
  clip: { kind: 'norm', max: 0.5 },
  average: { decay: 0.9 },
  stochasticDepth: true,
  labelSmoothing: 0.1,
} as const satisfies Partial<TrainingStepOptions>;

beforeAll(() => useBackend('cpu'));

const optimiserOf = (network: Network, config: OptimiserConfig): Optimiser =>
  optimiser(config, {
    weightDecay: 0.01,
    decays: (name) => network.weights[name]?.decay ?? false,
  });

/** Forward, loss, gradient, optimiser, as short as they can be written. */
function bareStep(network: Network, optimise: Optimiser): TensorFunction {
  const namesOf = (role: string): string[] => Object.keys(network.weights).filter((name) => network.weights[name]?.role === role);
  const [trained, statistics] = [namesOf('parameter'), namesOf('statistic')];
  return (tensors) => {
    const beside: Record<string, tf.Tensor> = {};
    const pick = (names: readonly string[]): Record<string, tf.Tensor> =>
      Object.fromEntries(names.map((name) => [name, tensors[name] as tf.Tensor]));
    const { grads } = tf.valueAndGrads((...values: tf.Tensor[]) => {
      const weights = { ...tensors, ...Object.fromEntries(trained.map((name, i) => [name, values[i] as tf.Tensor])) };
      const labels = tensors['labels'] as tf.Tensor1D;
      const forward = network.forward(weights, tensors['images'] as tf.Tensor4D, trainingContext);
      beside['correct'] = tf.sum(tf.cast(tf.equal(tf.argMax(forward.logits, 1), labels), 'int32'));
      Object.assign(beside, forward.statistics);
      const loss = network.loss(forward.logits, oneHot(labels, classes));
      for (const x of Object.values(Object.assign(beside, { loss }))) tf.keep(x);
      return loss;
    })(trained.map((name) => tensors[name] as tf.Tensor));
    const gradients = Object.fromEntries(trained.map((name, i) => [name, grads[i] as tf.Tensor]));
    const scalars = Object.fromEntries(optimise.scalarNames.map((name) => [name, tensors[scalarInput(name)] as tf.Tensor]));
    const { parameters, slots } = optimise.apply(pick(trained), gradients, tensors, scalars);
    return { ...pick(statistics), ...beside, ...parameters, ...slots };
  };
}

describe.each<[string, Network, OptimiserConfig]>([
  ['a ResNet with SGD', residual, sgd],
  ['a hybrid with Adam', hybrid, adam],
])('the graph of a step of %s', (_, network, config) => {
  it.each([undefined, 8])('has not a byte for what is off, in blocks of %s', (block) => {
    const optimise = optimiserOf(network, config);
    const weights = initWeights(network, Random.seeded(1));
    const step = trainingStep({
      network,
      optimiser: optimise,
      batchSize,
      accumulate: 1,
      clip: undefined,
      average: undefined,
      stochasticDepth: false,
      labelSmoothing: 0,
    });
    const signature = step.signature(weights, step.firstSlots(weights));
    const bytesOf = (fn: TensorFunction): Buffer => Buffer.from(encodeModel(trace(fn, signature, { block })));
    const bare = bytesOf(bareStep(network, optimise));
    expect(bytesOf(step.fn).equals(bare)).toBe(true);
    const more = trainingStep({ network, optimiser: optimise, batchSize, ...everything });
    expect(Buffer.from(encodeModel(trace(more.fn, more.signature(weights, more.firstSlots(weights)), { block }))).equals(bare)).toBe(false);
  });
});

interface Batch {
  readonly inputs: NamedArrays;
  readonly updates: boolean;
  readonly update: number;
}

/** Two updates of two batches each. */
const batchesFor = (network: Network): Batch[] =>
  [0, 1, 2, 3].map((i) => {
    const branches = network.residualBranches as readonly string[];
    const kept = randomValues(batchSize * branches.length, 50 + i).map((x) => (x > 0 ? 2 : 0));
    return {
      inputs: {
        images: ndArray('float32', [batchSize, side, side, 3], randomValues(batchSize * side * side * 3, 20 + i, { min: 0 })),
        labels: ndArray(
          'int32',
          [batchSize],
          Int32Array.from({ length: batchSize }, (_, k) => (k * (i + 1)) % classes),
        ),
        [depthInput]: ndArray('float32', [batchSize, branches.length], kept),
      },
      updates: i % 2 === 1,
      update: Math.floor(i / 2) + 1,
    };
  });

describe('a step with everything on', () => {
  it.each<[string, Network, OptimiserConfig, Partial<TrainingStepOptions>]>([
    ['a ResNet with LAMB', narrow, { kind: 'lamb', beta1: 0.9, beta2: 0.999, epsilon: 1e-3 }, {}],
    ['a hybrid with Adam, clipped by units', hybrid, adam, { clip: { kind: 'adaptive', factor: 0.05, epsilon: 1e-3, except: [] } }],
  ])('of %s is compiled as it is computed eagerly', async (_, network, config, more) => {
    const weights = initWeights(network, Random.seeded(1));
    const step = trainingStep({ network, optimiser: optimiserOf(network, config), batchSize, ...everything, ...more });
    const results: NamedArrays[] = [];
    for (const engine of [await onnxRuntimeEngine({ threads: 1 }), eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' })]) {
      const compiled = await engine.compile(step.fn, step.signature(weights, step.firstSlots(weights)));
      const losses: number[] = [];
      for (const { inputs, updates, update } of batchesFor(network)) {
        const before = await compiled.carried();
        const { loss } = await compiled.run({ ...inputs, ...step.scalars({ learningRate: 0.01, step: update, updates }) });
        losses.push(loss?.data[0] as number);
        const after = await compiled.carried();
        // between two updates sums of gradients and running statistics change, and nothing else; after one the sums are zero
        for (const [name, { data }] of Object.entries(after)) {
          const isSum = name.endsWith('#sum');
          const role = network.weights[name]?.role;
          if (isSum && updates) expect([name, data.every((x) => Number(x) === 0)]).toEqual([name, true]);
          else if (!isSum && !updates && role !== 'statistic') expect([name, data]).toEqual([name, before[name]?.data]);
        }
      }
      results.push({ ...(await compiled.carried()), losses: ndArray('float32', [4], Float32Array.from(losses)) });
      await compiled.dispose();
    }
    const [compiled, eager] = results as [NamedArrays, NamedArrays];
    expect(Object.keys(compiled).sort()).toEqual(Object.keys(eager).sort());
    for (const [name, { data }] of Object.entries(eager)) {
      try {
        expectClose(compiled[name]?.data as Float32Array, data as Float32Array, TOLERANCE);
      } catch (error) {
        throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
      }
    }
  });

  it('keeps images in blocks, and has the same numbers in them', async () => {
    const [engine, dense] = [await onnxRuntimeEngine({ threads: 1 }), await onnxRuntimeEngine({ threads: 1, blocked: false })];
    const weights = initWeights(residual, Random.seeded(1));
    const countsWith = async (options: Partial<TrainingStepOptions>): Promise<Record<string, number>> => {
      const step = trainingStep({ network: residual, optimiser: optimiserOf(residual, sgd), batchSize, ...options });
      const compiled = await engine.compile(step.fn, step.signature(weights, step.firstSlots(weights)));
      const { operators } = compiled.report();
      await compiled.dispose();
      return operators;
    };
    const [plain, full] = [await countsWith({}), await countsWith(everything)];
    const blocked = (operators: Record<string, number>, name: string): number => operators[`com.microsoft.nchwc.${name}`] ?? 0;
    // a machine whose runtime has no such operators has nothing to keep
    if (blocked(plain, 'Conv') === 0) return;
    expect(blocked(full, 'Conv')).toBeGreaterThanOrEqual(blocked(plain, 'Conv') - 3);
    // the gradients of a branch and of its shortcut are no longer the same array
    for (const name of ['ReorderInput', 'ReorderOutput']) expect(blocked(full, name)).toBeLessThanOrEqual(blocked(plain, name) + 3);

    const step = trainingStep({ network: residual, optimiser: optimiserOf(residual, sgd), batchSize, ...everything });
    const [first] = batchesFor(residual) as [Batch];
    const results = [];
    for (const each of [engine, dense]) {
      const compiled = await each.compile(step.fn, step.signature(weights, step.firstSlots(weights)));
      await compiled.run({ ...first.inputs, ...step.scalars({ learningRate: 0.01, step: 1, updates: false }) });
      results.push(await compiled.carried());
      await compiled.dispose();
    }
    const [inBlocks, asUsual] = results as [NamedArrays, NamedArrays];
    for (const [name, { data }] of Object.entries(asUsual))
      expectClose(inBlocks[name]?.data as Float32Array, data as Float32Array, TOLERANCE);
  });
});

describe('the halves of a step', () => {
  it('are the whole, gradients having left the graph in between', async () => {
    const network = hybrid;
    const { accumulate: _, ...options } = everything;
    const weights = initWeights(network, Random.seeded(1));
    const step = trainingStep({ network, optimiser: optimiserOf(network, adam), batchSize, ...options });
    const engine = await onnxRuntimeEngine({ threads: 1, blocked: false });
    const slots = step.firstSlots(weights);
    const whole = await engine.compile(step.fn, step.signature(weights, slots));
    const gradient = await engine.compile(step.gradient.fn, step.gradient.signature(weights, slots));
    const update = await engine.compile(step.update.fn, step.update.signature(weights, slots));
    let carried: NamedArrays = await update.carried();
    const namesOf = (role: string): string[] => Object.keys(network.weights).filter((name) => network.weights[name]?.role === role);
    for (const [i, { inputs }] of batchesFor(network).entries()) {
      const scalars = step.scalars({ learningRate: 0.01, step: i + 1 });
      const { loss } = await whole.run({ ...inputs, ...scalars });
      const fed = Object.fromEntries([...namesOf('parameter'), ...namesOf('statistic')].map((name) => [name, carried[name]]));
      const computed = await gradient.run({ ...inputs, ...(fed as NamedArrays) });
      expect(computed['loss']).toEqual(loss);
      // here a run of several processes has their mean in the place of its own
      const gradients = namesOf('parameter').map((name) => [gradientOutput(name), computed[gradientOutput(name)]]);
      const statistics = namesOf('statistic').map((name) => [statisticOutput(name), computed[statisticOutput(name)]]);
      await update.run({ ...scalars, ...(Object.fromEntries([...gradients, ...statistics]) as NamedArrays) });
      carried = await update.carried();
    }
    const expected = await whole.carried();
    expect(Object.keys(carried).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, { data }] of Object.entries(expected))
      expectClose(carried[name]?.data as Float32Array, data as Float32Array, TOLERANCE);
    for (const each of [whole, gradient, update]) await each.dispose();
  });
});
