/**
 * A training step whose gradients leave the graph, are averaged over a group of processes, and enter the graph of the update:
 *
 *     g = 1/(R·k) Σ_r Σ_j g_rj        R ranks r, k batches j of one update
 *
 * which is the gradient of the mean loss of all their images, since every rank's batch has the same size. Looks like the one compiled step to the loop.
 * Weights are the same bits on every rank, because all start from rank 0's and all reduce to the same bits.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  ndArray,
  type Compiled,
  type CompiledInStages,
  type Engine,
  type NamedArrays,
  type NamedTensors,
  type NdArray,
  type Network,
  type ProcessGroup,
  type TensorFunction,
} from '@coda-nets/core';
import { gradientOutput, statisticOutput, sumSlot, updateInput, type TrainingStep } from './training-step.ts';

export interface GroupedStepOptions {
  readonly engine: Engine;
  readonly network: Network;
  readonly step: TrainingStep;
  readonly weights: NamedArrays;
  readonly slots: NamedArrays;
  readonly group: ProcessGroup;
  /** k */
  readonly accumulate: number;
  /** Whether this rank is told to stop; when one is, `onStop` is called on all after the same update. */
  readonly wantsToStop: () => boolean;
  readonly onStop: () => void;
}

/** Floats that are summed over the ranks in one call, 16 MB: the first are on their way while the next are copied. */
const bucketLength = 2 ** 22;

export async function compileGroupedStep(options: GroupedStepOptions): Promise<Compiled> {
  const { engine, network, step, weights, slots, group, accumulate, wantsToStop, onStop } = options;
  const named = Object.entries(network.weights);
  const parameterNames = named.filter(([, { role }]) => role === 'parameter').map(([name]) => name);
  const statisticNames = named.filter(([, { role }]) => role === 'statistic').map(([name]) => name);
  const share = 1 / (group.size * accumulate);
  let steps = 0;

  const gradientSignature = step.gradient.signature(weights, slots);
  const gradientOfShare: TensorFunction = (tensors) => {
    const outputs = step.gradient.fn(tensors);
    const gradients = parameterNames.map(
      (name) => [gradientOutput(name), tf.mul(outputs[gradientOutput(name)] as tf.Tensor, share)] as const,
    );
    return { ...outputs, ...Object.fromEntries(gradients) };
  };
  /** All gradients, the last layer's first as the backward pass gives them, and then all statistics, one after the other. */
  const layout = places(network, [...parameterNames.toReversed(), ...statisticNames]);
  const buckets = layout.buckets(parameterNames.length);
  const gradient: CompiledInStages =
    engine.compileInStages === undefined
      ? await engine.compile(gradientOfShare, gradientSignature)
      : await engine.compileInStages(gradientOfShare, gradientSignature, {
          mean: async (values, label) => {
            await group.allReduce(values, 'sum', `${label} of step ${steps}`);
            for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) / group.size;
          },
          early: buckets.length > 1 ? buckets.map((names) => names.map(gradientOutput)) : [],
        });
  // weights come back after every update, for the next gradient: only slots stay in the engine
  const { inputs, carried = {} } = step.update.signature(weights, slots);
  const isSlot = (name: string): boolean => Object.hasOwn(slots, name) && !name.endsWith(sumSlot(''));
  const weightEntries = Object.entries(carried).filter(([name]) => !Object.hasOwn(slots, name));
  const isWeight = (name: string): boolean => Object.hasOwn(network.weights, name);
  const next = (name: string): string => (isWeight(name) ? nextWeight(name) : name);
  const update = await engine.compile((tensors) => renamed(step.update.fn(tensors), next), {
    inputs: {
      ...inputs,
      ...Object.fromEntries(parameterNames.map((name) => [name, { shape: weights[name]?.shape ?? [], dtype: 'float32' as const }])),
    },
    carried: Object.fromEntries(Object.entries(carried).filter(([name]) => isSlot(name))),
  });

  let current: NamedArrays = Object.fromEntries(weightEntries);
  const flat = new Float32Array(layout.length);
  /** Batches of the update that `flat` is the sum of. */
  let summed = 0;
  // a process on its own may have been stopped within an update
  if (group.rank === 0) {
    for (const name of parameterNames) flat.set((slots[sumSlot(name)]?.data as Float32Array | undefined) ?? [], layout.at(name));
    summed = parameterNames.some((name) => slots[sumSlot(name)]?.data.some((x) => x !== 0)) ? 1 : 0;
  }

  const pick = (from: NamedArrays, names: Iterable<string>): NamedArrays =>
    Object.fromEntries([...names].flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])));

  /** Adds a batch's gradients to `flat` as they come; where they are the update's last, each bucket is summed over the ranks as soon as it is full. */
  const gatherer = (isLast: boolean) => {
    const running: Promise<void>[] = [];
    const awaited = new Set(layout.names.slice(0, isLast ? undefined : parameterNames.length));
    let begin = 0;
    const send = (end: number): void => {
      if (!isLast) return;
      while (begin < end) {
        const bucket = flat.subarray(begin, Math.min(begin + bucketLength, end));
        const sent = group.allReduce(bucket, 'sum', `gradients of step ${steps}`);
        // told of where it is waited for
        sent.catch(() => undefined);
        running.push(sent);
        begin += bucket.length;
      }
    };
    const take = (results: NamedArrays): void => {
      for (const name of layout.names) {
        const isGradient = network.weights[name]?.role === 'parameter';
        const values = results[isGradient ? gradientOutput(name) : statisticOutput(name)]?.data as Float32Array | undefined;
        if (values === undefined || !awaited.delete(name)) continue;
        const at = layout.at(name);
        if (!isGradient || summed === 0) flat.set(values, at);
        else for (let i = 0; i < values.length; i++) flat[at + i] = (flat[at + i] as number) + (values[i] as number);
        // up to the first that is not there yet
        const [next] = awaited;
        const end = next === undefined ? layout.length : layout.at(next);
        if (end - begin >= bucketLength) send(begin + Math.floor((end - begin) / bucketLength) * bucketLength);
      }
    };
    const end = async (): Promise<void> => {
      send(layout.length);
      await Promise.all(running);
      summed = isLast ? 0 : summed + 1;
    };
    return { take, end };
  };

  /** Means over the ranks, and the sum of what is right. */
  const figuresOf = async (outputs: NamedArrays): Promise<{ results: NamedArrays; stop: boolean }> => {
    const scalar = (name: string): number => Number(outputs[name]?.data[0] ?? 0);
    const figures = Float64Array.of(scalar('loss') / group.size, scalar('penalty') / group.size, scalar('correct'), wantsToStop() ? 1 : 0);
    await group.allReduce(figures, 'sum', `figures of step ${steps}`);
    const [loss, penalty, correct, stop] = figures as unknown as [number, number, number, number];
    const results = {
      loss: ndArray('float32', [], Float32Array.of(loss)),
      correct: ndArray('int32', [], Int32Array.of(correct)),
      ...(outputs['penalty'] === undefined ? {} : { penalty: ndArray('float32', [], Float32Array.of(penalty)) }),
    };
    return { results, stop: stop > 0 };
  };

  return {
    run: async (given) => {
      steps++;
      const isLast = given[updateInput] === undefined || Number(given[updateInput].data[0]) > 0.5;
      const { take, end } = gatherer(isLast);
      const outputs = await gradient.run(
        { ...pick(current, [...parameterNames, ...statisticNames]), ...pick(given, Object.keys(gradientSignature.inputs)) },
        take,
      );
      // of an engine that hands out nothing early; what was taken is not taken twice
      take(outputs);
      const [{ results, stop }] = await Promise.all([figuresOf(outputs), end()]);
      if (!isLast) {
        current = { ...current, ...Object.fromEntries(statisticNames.map((name) => [name, outputs[statisticOutput(name)] as NdArray])) };
        return results;
      }
      const shaped = (name: string): NdArray => {
        const { shape } = network.weights[name] as (typeof network.weights)[string];
        return ndArray('float32', shape, layout.of(flat, name));
      };
      const statistics = statisticNames.map((name) => {
        const mean = shaped(name);
        return [
          name,
          ndArray(
            'float32',
            mean.shape,
            (mean.data as Float32Array).map((x) => x / group.size),
          ),
        ] as const;
      });
      const updated = await update.run({
        ...pick(current, parameterNames),
        ...pick(given, Object.keys(inputs)),
        ...Object.fromEntries(parameterNames.map((name) => [gradientOutput(name), shaped(name)])),
        ...Object.fromEntries(statistics.map(([name, mean]) => [statisticOutput(name), mean])),
      });
      current = Object.fromEntries(Object.keys(current).map((name) => [name, updated[nextWeight(name)] as NdArray]));
      if (stop) onStop();
      return results;
    },
    carried: async () => ({ ...current, ...zeroSums(slots), ...(await update.carried()) }),
    dispose: async () => {
      await gradient.dispose();
      await update.dispose();
    },
  };
}

const nextWeight = (name: string): string => `next/${name}`;

function renamed(tensors: NamedTensors, rename: (name: string) => string): NamedTensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, x]) => [rename(name), x]));
}

/** Where each weight's numbers are in one array of all. */
function places(network: Network, names: readonly string[]) {
  const starts = new Map<string, number>();
  let length = 0;
  const sizeOf = (name: string): number => (network.weights[name]?.shape ?? []).reduce((product, d) => product * d, 1);
  for (const name of names) {
    starts.set(name, length);
    length += sizeOf(name);
  }
  const at = (name: string): number => starts.get(name) as number;
  /** Of the first `count` names, runs of at least a bucket, the last of what is left. */
  const buckets = (count: number): string[][] => {
    const runs: string[][] = [[]];
    let filled = 0;
    for (const name of names.slice(0, count)) {
      if (filled >= bucketLength) {
        runs.push([]);
        filled = 0;
      }
      runs.at(-1)?.push(name);
      filled += sizeOf(name);
    }
    return runs;
  };
  return { names, length, at, buckets, of: (flat: Float32Array, name: string) => flat.subarray(at(name), at(name) + sizeOf(name)) };
}

/** Checkpoints are made between updates. */
function zeroSums(slots: NamedArrays): NamedArrays {
  const sums = Object.entries(slots).filter(([name]) => name.endsWith(sumSlot('')));
  return Object.fromEntries(sums.map(([name, { shape, data }]) => [name, ndArray('float32', shape, new Float32Array(data.length))]));
}
