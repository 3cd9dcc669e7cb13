/**
 * A graph that was cut into stages, each a session of ONNX Runtime, run one after the other. What crosses ranks after a stage is under way while later stages
 * run that do not read it. Values between stages lie in memory that is laid out once: they are written and read where they are.
 */
import { ndArray, sizeOf, zerosArray, type NamedArrays, type NdArray, type StageOptions } from '@coda-nets/core';
import { encodeModelInMemory, type Crossing, type Stage, type StagedGraph, type Value } from '@coda-nets/onnx';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { OnnxRuntime } from './load-onnx-runtime.ts';
import { tensorMaker, toArray } from './onnx-session.ts';
import { runError } from './run-error.ts';

export interface StageSessions {
  run(inputs: NamedArrays, onResults?: (results: NamedArrays) => void): Promise<NamedArrays>;
  release(): Promise<void>;
}

type Tensors = Record<string, Tensor>;

export async function openStages(
  ort: OnnxRuntime,
  { stages, outputs, shared }: StagedGraph,
  options: InferenceSession.SessionOptions,
  mean: StageOptions['mean'],
): Promise<StageSessions> {
  const toTensor = tensorMaker(ort);
  const between = memoryBetween(stages, new Set(Object.values(outputs))).map((arrays) => tensorsOf(arrays, toTensor));
  const fixed = tensorsOf(shared, toTensor);
  const sessions = await openAll(stages.map(({ graph }) => openStage(ort, graph, options)));
  let busy: Promise<unknown> = Promise.resolve();

  const call = async (inputs: NamedArrays, onResults?: (results: NamedArrays) => void): Promise<NamedArrays> => {
    const values: Tensors = { ...fixed, ...tensorsOf(inputs, toTensor) };
    const coming = new Map<string, Promise<void>>();
    const results: Record<string, NdArray> = {};
    const handOut = (names: readonly string[]): void => {
      const named = Object.entries(outputs).filter(([, name]) => names.includes(name));
      const ready = Object.fromEntries(named.map(([result, name]) => [result, toArray(values[name] as Tensor)]));
      Object.assign(results, ready);
      if (named.length > 0) onResults?.(ready);
    };
    for (const [k, { graph, crossings }] of stages.entries()) {
      const read = graph.inputs.map(({ hint }) => hint as string);
      await Promise.all([...read, ...crossings.map(({ from }) => from)].flatMap((name) => coming.get(name) ?? []));
      const given = Object.keys(graph.outputs);
      const into = Object.fromEntries(given.map((name) => [name, between[k]?.[name] ?? null]));
      const made =
        (await sessions[k]?.run(pick(values, read), into).catch((cause: unknown) => {
          throw runError('run', cause);
        })) ?? {};
      // what had a place is there now; another object for it comes back
      for (const name of given) values[name] = into[name] ?? (made[name] as Tensor);
      if (crossings.length > 0) {
        const { tensors, arrived } = sent(crossings, values, toTensor, mean);
        // told of where it is waited for
        arrived.catch(() => undefined);
        for (const name of Object.keys(tensors)) coming.set(name, arrived);
        Object.assign(values, tensors);
      }
      handOut(given);
    }
    await Promise.all(coming.values());
    handOut([...coming.keys()]);
    return results;
  };
  return {
    // the values between stages are one call's
    run: (inputs, onResults) => {
      const result = busy.then(() => call(inputs, onResults));
      busy = result.catch(() => undefined);
      return result;
    },
    release: async () => {
      await busy;
      await Promise.all(sessions.flatMap((session) => session?.release() ?? []));
    },
  };
}

type StageSession = InferenceSession | undefined;

/** All of them or none: those that opened are released where one did not, and its error is thrown. */
async function openAll(opening: readonly Promise<StageSession>[]): Promise<readonly StageSession[]> {
  try {
    return await Promise.all(opening);
  } catch (error) {
    const opened = await Promise.allSettled(opening);
    await Promise.allSettled(opened.flatMap((each) => (each.status === 'fulfilled' ? (each.value?.release() ?? []) : [])));
    throw error;
  }
}

/** Undefined for a stage without nodes. */
async function openStage(ort: OnnxRuntime, graph: Stage['graph'], options: InferenceSession.SessionOptions): Promise<StageSession> {
  if (graph.nodes.length === 0) return undefined;
  const { model, weights } = encodeModelInMemory(graph);
  return ort.InferenceSession.create(model, { ...options, externalData: Object.entries(weights).map(([path, data]) => ({ path, data })) });
}

/**
 * For each stage the arrays that its values for later stages are written into, by name; those of a stage that were read for the last time are taken again.
 * Results of the whole are the caller's and have none, as have values of open sizes.
 */
function memoryBetween(stages: readonly Stage[], results: ReadonlySet<string>): readonly NamedArrays[] {
  const lastReader = new Map<string, number>();
  for (const [k, { graph, crossings }] of stages.entries()) {
    for (const { hint } of graph.inputs) lastReader.set(hint as string, k);
    for (const { from } of crossings) lastReader.set(from, Math.max(k, lastReader.get(from) ?? 0));
  }
  const free = new Map<string, NdArray[]>();
  const keyOf = (dtype: string, shape: readonly unknown[]): string => `${dtype} ${sizeOf(shape as number[])}`;
  const held = new Map<string, NdArray>();
  const take = ({ dtype, shape }: Value): NdArray => {
    const array = free.get(keyOf(dtype, shape))?.pop() ?? zerosArray(dtype, shape as number[]);
    return { ...array, shape: shape as number[] };
  };
  return stages.map(({ graph }, k) => {
    const named = Object.entries(graph.outputs).filter(
      ([name, { shape }]) => !results.has(name) && shape.every((d) => typeof d === 'number'),
    );
    const own = Object.fromEntries(named.map(([name, value]) => [name, take(value)]));
    for (const [name, array] of Object.entries(own)) held.set(name, array);
    for (const [name, array] of held) {
      if ((lastReader.get(name) ?? k) > k) continue;
      held.delete(name);
      const key = keyOf(array.dtype, array.shape);
      free.set(key, [...(free.get(key) ?? []), array]);
    }
    return own;
  });
}

/** All that crosses after a stage, in one array: on its way, and as the values that come back, which are there when it has `arrived`. */
function sent(
  crossings: readonly Crossing[],
  values: Tensors,
  toTensor: (array: NdArray) => Tensor,
  mean: StageOptions['mean'],
): { readonly tensors: Tensors; readonly arrived: Promise<void> } {
  const arrays = crossings.map(({ from }) => toArray(values[from] as Tensor));
  const all = new Float32Array(arrays.reduce((sum, { data }) => sum + data.length, 0));
  const tensors: Tensors = {};
  let at = 0;
  for (const [i, { to }] of crossings.entries()) {
    const { shape, data } = arrays[i] as NdArray<'float32'>;
    const part = all.subarray(at, (at += data.length));
    part.set(data);
    tensors[to] = toTensor(ndArray('float32', shape, part));
  }
  const [first] = crossings as readonly [Crossing];
  return { tensors, arrived: mean(all, crossings.length === 1 ? first.name : `${first.name} and ${crossings.length - 1} more`) };
}

const tensorsOf = (arrays: NamedArrays, toTensor: (array: NdArray) => Tensor): Tensors =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, toTensor(array)]));

const pick = (values: Tensors, names: readonly string[]): Tensors =>
  Object.fromEntries(names.map((name) => [name, values[name] as Tensor]));
