/** The work as these packages do it: `trainingStep` and a compiled forward pass, with or without taps, on any engine. */
import { inferenceContext, recordTaps, type Compiled, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import { exportStateDict, type ResnetOptions } from '@coda-nets/resnet';
import { initialSlots, optimiser, slotName, trainingStep } from '@coda-nets/train';
import type * as tf from '@tensorflow/tfjs-core';
import { measureCalls } from '../interleave.ts';
import type { PreparedWork } from '../prepared-work.ts';
import type { RunWork, TapChoice } from './engine-works.ts';
import { readWorkFiles, type WorkFiles, type WorkInputs } from './work-files.ts';

const SGD = { kind: 'sgd', momentum: 0.9, nesterov: true } as const;
const LEARNING_RATE = 0.01;

export async function ourWork(work: Pick<RunWork, 'kind' | 'batch'>, files: WorkFiles, engine: Engine): Promise<PreparedWork> {
  const inputs = await readWorkFiles(files, work.batch);
  const name = `ours (${engine.name})`;
  return work.kind === 'train' ? trainingWork(name, inputs, engine) : forwardWork(name, inputs, engine, 'none');
}

/** From the function to what runs it: the part that `start-50` measures. */
export async function compileTraining({ network, weights, images }: WorkInputs, engine: Engine) {
  const sgd = optimiser(SGD);
  const step = trainingStep({ network, optimiser: sgd, batchSize: images.shape[0] as number });
  return { step, compiled: await engine.compile(step.fn, step.signature(weights, initialSlots(sgd, network.weights))) };
}

async function trainingWork(name: string, inputs: WorkInputs, engine: Engine): Promise<PreparedWork> {
  const { network, images, labels } = inputs;
  const { step, compiled } = await compileTraining(inputs, engine);
  let steps = 0;
  const run = (): Promise<NamedArrays> => {
    steps++;
    return compiled.run({ images, labels, ...step.scalars({ learningRate: LEARNING_RATE, step: steps }) });
  };
  return {
    name,
    measure: (repeats) => measureCalls(run, repeats),
    results: async () => {
      const { loss } = await run();
      const carried = await compiled.carried();
      // after the first step the momentum is the gradient
      const arrays = Object.entries(network.weights).map(([weight, { role }]) => {
        return [weight, carried[role === 'statistic' ? weight : slotName(weight, 'm')] as NdArray] as const;
      });
      const named = Object.entries(exportStateDict(Object.fromEntries(arrays), network.config as ResnetOptions))
        .filter(([weight]) => !weight.endsWith('num_batches_tracked'))
        .map(
          ([weight, array]) => [`${network.weights[weight]?.role === 'statistic' ? 'statistic' : 'gradient'}/${weight}`, array] as const,
        );
      return { loss: loss as NdArray, ...Object.fromEntries(named) };
    },
    release: () => compiled.dispose(),
  };
}

/** The last block of each stage, or every block. */
function chosenTaps({ taps }: WorkInputs['network'], choice: TapChoice): readonly string[] {
  const blocks = taps.map(({ name }) => name).filter((name) => name.startsWith('layer'));
  const stage = (name: string | undefined): string | undefined => name?.split('.')[0];
  if (choice === 'none') return [];
  return choice === 'blocks' ? blocks : blocks.filter((name, i) => stage(name) !== stage(blocks[i + 1]));
}

export async function forwardWork(name: string, inputs: WorkInputs, engine: Engine, choice: TapChoice): Promise<PreparedWork> {
  const { network, weights, images } = inputs;
  const names = chosenTaps(network, choice);
  const compiled: Compiled = await engine.compile(
    (tensors) => {
      const { context, activations } = recordTaps(inferenceContext);
      const { logits } = network.forward(tensors, tensors['images'] as tf.Tensor4D, context);
      return { logits, ...Object.fromEntries(names.map((tap) => [`tap/${tap}`, activations[tap] as tf.Tensor])) };
    },
    { inputs: { images: { shape: ['batch', ...network.inputShape], dtype: 'float32' } }, constants: weights },
  );
  const run = (): Promise<NamedArrays> => compiled.run({ images });
  return {
    name,
    measure: (repeats) => measureCalls(run, repeats),
    results: async () => ({ logits: (await run())['logits'] as NdArray }),
    release: () => compiled.dispose(),
  };
}
