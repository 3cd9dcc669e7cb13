/** The work as these packages do it: `trainingStep`, `explainer` and a compiled forward pass, on any engine. */
import { inferenceContext, ndArray, type Compiled, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import { explainer } from '@coda-nets/depth';
import { initialSlots, optimiser, slotName, trainingStep } from '@coda-nets/train';
import type * as tf from '@tensorflow/tfjs-core';
import { measureCalls } from '../interleave.ts';
import type { PreparedWork } from '../prepared-work.ts';
import type { DauWork } from './dau-works.ts';
import { readWorkFiles, type WorkFiles, type WorkInputs } from './work-files.ts';

const ADAM = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 'coupled' } as const;
const LEARNING_RATE = 2.5e-4;

export async function ourWork(work: Pick<DauWork, 'kind' | 'batch' | 'taps'>, files: WorkFiles, engine: Engine): Promise<PreparedWork> {
  const inputs = await readWorkFiles(files, work.batch);
  const prepared = work.kind === 'train' ? training : work.kind === 'forward' ? forward : explanation;
  const { run, results, release } = await prepared(inputs, engine, work);
  return { name: `ours (${engine.name})`, measure: (repeats) => measureCalls(run, repeats), results, release };
}

interface Runnable extends Pick<PreparedWork, 'results' | 'release'> {
  run(): Promise<unknown>;
}

async function training({ network, weights, images, labels }: WorkInputs, engine: Engine): Promise<Runnable> {
  const adam = optimiser(ADAM);
  const step = trainingStep({ network, optimiser: adam, batchSize: images.shape[0] as number });
  const compiled = await engine.compile(step.fn, step.signature(weights, initialSlots(adam, network.weights)));
  let steps = 0;
  const run = (): Promise<NamedArrays> => {
    steps++;
    return compiled.run({ images, labels, ...step.scalars({ learningRate: LEARNING_RATE, step: steps }) });
  };
  return {
    run,
    results: async () => {
      const { loss } = await run();
      // after the first step Adam's m is (1 − β₁) times the gradient
      const slots = await compiled.carried();
      const gradients = Object.keys(network.weights).map((name) => {
        const { shape, data } = slots[slotName(name, 'm')] as NdArray<'float32'>;
        return [
          `gradient/${name}`,
          ndArray(
            'float32',
            shape,
            data.map((m) => m / (1 - ADAM.beta1)),
          ),
        ] as const;
      });
      return { loss: loss as NdArray, ...Object.fromEntries(gradients) };
    },
    release: () => compiled.dispose(),
  };
}

async function forward({ network, weights, images }: WorkInputs, engine: Engine): Promise<Runnable> {
  const compiled: Compiled = await engine.compile(
    (tensors) => ({ logits: network.forward(tensors, tensors['images'] as tf.Tensor4D, inferenceContext).logits }),
    { inputs: { images: { shape: ['batch', ...network.inputShape], dtype: 'float32' } }, constants: weights },
  );
  const run = (): Promise<NamedArrays> => compiled.run({ images });
  return { run, results: run, release: () => compiled.dispose() };
}

async function explanation(inputs: WorkInputs, engine: Engine, work: Pick<DauWork, 'taps'>): Promise<Runnable> {
  const { network, weights, images, labels } = inputs;
  const batch = images.shape[0] as number;
  const names = network.taps.map(({ name }) => name);
  const taps = work.taps === 'all' ? names : names.slice(0, 1);
  const explain = await explainer({ engine, network, weights, taps, chunk: batch });
  const run = () => explain.explain(images, [...labels.data]);
  return {
    run,
    results: async () => {
      const explanations = await run();
      const stacked = (arrays: readonly NdArray<'float32'>[]): NdArray => {
        const data = new Float32Array(arrays.flatMap((array) => [...array.data]));
        return ndArray('float32', [arrays.length, ...(arrays[0]?.shape ?? [])], data);
      };
      const maps = taps.map((_, tap) => [`map/${tap}`, stacked(explanations.map((e) => e.taps[tap]?.map as NdArray<'float32'>))] as const);
      return { logits: stacked(explanations.map(({ logits }) => logits)), ...Object.fromEntries(maps) };
    },
    release: () => explain.dispose(),
  };
}
