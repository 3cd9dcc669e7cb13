/**
 * What a network costs, read off its traced graph: sizes at taps, multiply-adds, bytes. No number of the network is computed. Counted are
 * float32 values; not what a runtime keeps for itself (packed weights, threads, its arena's slack), nor images that wait for their turn.
 */
import { inferenceContext, sizeOf, type Network, type Tap } from '@coda-nets/core';
import { trace, type Graph } from '@coda-nets/onnx';
import type * as tf from '@tensorflow/tfjs-core';

interface TapCost {
  readonly name: string;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly stride: number;
  /** Pixels of the image that a position sees: ResNets say it. */
  readonly receptiveField: number | undefined;
  readonly exact: boolean;
}

export interface NetworkCost {
  readonly parameters: number;
  readonly frozen: number;
  readonly statistics: number;
  readonly taps: readonly TapCost[];
  /** Of an image. */
  readonly multiplyAdds: number;
  readonly memory: {
    readonly batch: number;
    /** All weights. */
    readonly weights: number;
    /** The most values that live at once on the way forward. */
    readonly inference: number;
    /** Weights, a gradient and `slots` numbers of the optimiser for each trained one, and every value that depends on one or goes into one that does. */
    readonly training: number;
    readonly slots: number;
  };
}

export interface NetworkCostOptions {
  readonly batch?: number;
  /** Numbers that the optimiser keeps for each trained weight: 2 of Adam and its kin, 1 of momentum. */
  readonly slots?: number;
}

/** Traces the forward pass in inference mode; of batch norms in training, statistics come on top. */
export function networkCost(network: Network, { batch = 1, slots = 2 }: NetworkCostOptions = {}): NetworkCost {
  const sizes: Record<string, readonly number[]> = {};
  const specs = Object.entries(network.weights);
  const graph = trace(
    (tensors) => {
      const context = {
        ...inferenceContext,
        tap: <T extends tf.Tensor>(name: string, x: T): T => {
          sizes[name] = x.shape;
          return x;
        },
      };
      return { logits: network.forward(tensors, tensors['image'] as tf.Tensor4D, context).logits };
    },
    {
      inputs: {
        image: { shape: [batch, ...network.inputShape], dtype: 'float32' },
        ...Object.fromEntries(specs.map(([name, { shape }]) => [name, { shape: [...shape], dtype: 'float32' as const }])),
      },
    },
  );
  const count = (role: string): number => specs.reduce((sum, [, spec]) => sum + (spec.role === role ? sizeOf(spec.shape) : 0), 0);
  const [parameters, frozen, statistics] = [count('parameter'), count('frozen'), count('statistic')];
  const weights = 4 * (parameters + frozen + statistics);
  const trained = new Set(specs.filter(([, { role }]) => role === 'parameter').map(([name]) => name));
  const { peak, kept } = activationBytes(graph, trained);
  return {
    parameters,
    frozen,
    statistics,
    multiplyAdds: Math.round(multiplyAdds(graph) / batch),
    taps: network.taps.map(({ name, channels, stride, exact, receptiveField }: Tap & { readonly receptiveField?: number }) => {
      const [, height, width] = sizes[name] as readonly [number, number, number];
      return { name, height, width, channels, stride, receptiveField, exact };
    }),
    memory: { batch, slots, weights, inference: weights + peak, training: weights + 4 * parameters * (1 + slots) + kept },
  };
}

function multiplyAdds({ nodes }: Graph): number {
  let sum = 0;
  for (const { op, inputs, output } of nodes) {
    const [left, right] = inputs.map((value) => (value?.shape ?? []) as readonly number[]);
    const outputs = sizeOf(output.shape as readonly number[]);
    if (op === 'Conv') sum += outputs * sizeOf((right ?? []).slice(1));
    // m·n, m·k and k·n in any order of axes; a MatMul may be a stack of products, which have their order.
    if (op === 'Gemm') sum += Math.sqrt(outputs * sizeOf(left ?? []) * sizeOf(right ?? []));
    if (op === 'MatMul') sum += outputs * (left?.at(-1) ?? 0);
  }
  return sum;
}

/** Operators whose result is their input in another shape: they need no memory. */
const views: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);

/** `peak`: the most that lives at once; `kept`: all that a backward pass may ask for, given which inputs are trained. */
function activationBytes({ nodes, inputs, constants }: Graph, trained: ReadonlySet<string>): { peak: number; kept: number } {
  type Value = Graph['inputs'][number];
  const weights = new Set<Value>(inputs.filter(({ hint }) => hint !== 'image'));
  const bytes = (value: Value): number => (weights.has(value) || constants.has(value) ? 0 : 4 * sizeOf(value.shape as readonly number[]));
  // a view lives and dies with what it is a view of
  const origin = new Map<Value, Value>();
  const root = (value: Value): Value => origin.get(value) ?? value;
  const lastUse = new Map<Value, number>();
  const needsGradient = new Set<Value>(inputs.filter(({ hint }) => hint !== undefined && trained.has(hint)));
  const kept = new Set<Value>();
  for (const [i, { op, inputs: read, output }] of nodes.entries()) {
    const values = read.filter((value) => value !== undefined);
    if (views.has(op)) origin.set(output, root(values[0] as Value));
    for (const value of values) lastUse.set(root(value), i);
    if (!values.some((value) => needsGradient.has(value))) continue;
    needsGradient.add(output);
    for (const value of [...values, output]) kept.add(root(value));
  }
  const ends = new Map<number, Value[]>();
  for (const [value, i] of lastUse) ends.set(i, [...(ends.get(i) ?? []), value]);
  let live = inputs.reduce((sum, value) => sum + bytes(value), 0);
  let peak = live;
  for (const [i, { output, op }] of nodes.entries()) {
    if (!views.has(op)) live += bytes(output);
    peak = Math.max(peak, live);
    for (const value of ends.get(i) ?? []) live -= bytes(value);
  }
  return { peak, kept: [...kept].reduce((sum, value) => sum + bytes(value), 0) };
}

/** 1234567 → `1.2 MB`; 10⁶ and 10⁹, as file sizes are counted. */
export function bytesText(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
