/**
 * A whole network as one layer of `tf.layers`, so that it can be used in `tf.sequential`, `fit` and `save`: [N, H, W, C] → logits [N, classes].
 * Its weights become variables, named as in the network; statistics that a training step computes (batch norm) are written into theirs, as layers of
 * tf.layers do it. Taps belong to the network: `lookingInside` hands them to a context.
 */
import * as tf from '@tensorflow/tfjs-core';
import { layers, type initializers, type LayerVariable, type Shape } from '@tensorflow/tfjs-layers';
import { checkWeights } from '../check-weights.ts';
import { CodaError } from '../errors.ts';
import { checkObject, checkTensor } from '../check-argument.ts';
import { inferenceContext, trainingContext, type ForwardContext } from '../forward-context.ts';
import { runScope } from '../run-scope.ts';
import { ndArray, type NamedArrays, type NdArray } from '../nd-array.ts';
import type { NamedTensors, Network } from '../network.ts';
import { Random } from '../random.ts';
import { networkFromConfig } from './network-builders.ts';

type Initializer = ReturnType<typeof initializers.ones>;

export interface NetworkLayerOptions extends NonNullable<ConstructorParameters<typeof layers.Layer>[0]> {
  /** The weights to begin with, those of a model file; default: drawn from `seed`. */
  readonly initial?: NamedArrays;
  /** Default 0. */
  readonly seed?: number;
}

export class NetworkLayer extends layers.Layer {
  /** @nocollapse */
  static readonly className = 'CodaNetwork';
  readonly network: Network;
  readonly #initial: NamedArrays | undefined;
  readonly #seed: number;
  readonly #variables = new Map<string, LayerVariable>();
  #inside: ForwardContext | undefined;

  /** Throws a CodaError where `initial` is not the network's weights. */
  constructor(network: Network, { initial, seed = 0, ...options }: NetworkLayerOptions = {}) {
    super({ inputShape: [...network.inputShape], ...options });
    if (initial !== undefined) checkWeights(network, initial, `networkLayer ${JSON.stringify(this.name)}: initial`);
    this.network = network;
    this.#initial = initial;
    this.#seed = seed;
  }

  override build(inputShape: Shape | Shape[]): void {
    this.computeOutputShape(inputShape);
    const random = Random.seeded(this.#seed);
    for (const [name, { shape, role, init }] of Object.entries(this.network.weights)) {
      const first = (): NdArray => this.#initial?.[name] ?? init(random.split(name));
      const variable = this.addWeight(name, [...shape], 'float32', initializer(first), undefined, role === 'parameter');
      this.#variables.set(name, variable);
    }
    this.built = true;
  }

  /** Inference unless the model is being trained and the layer is trainable. */
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Parameters<layers.Layer['call']>[1]): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const images = (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor4D;
      checkTensor(`networkLayer ${JSON.stringify(this.name)}: input`, images, '[N, H, W, C]', 'any');
      this.computeOutputShape(images.shape);
      if (this.#inside !== undefined) {
        const { logits, scores = tf.sub(logits, this.network.logitBias) } = this.network.forward(this.namedWeights(), images, this.#inside);
        return scores;
      }
      const context = kwargs?.['training'] === true && this.trainable ? trainingContext : inferenceContext;
      const { logits, statistics } = this.network.forward(this.namedWeights(), images, context);
      for (const [name, value] of Object.entries(statistics)) this.#variables.get(name)?.write(value);
      return logits;
    });
  }

  /**
   * Runs `fn`, which must be synchronous, while this layer passes its network's taps to `context`, computes as in inference, and gives z − b₀, from before b₀
   * is added: what an explanation of the model needs.
   */
  lookingInside<T>(context: ForwardContext, fn: () => T): T {
    return runScope('NetworkLayer.lookingInside', fn, { enter: () => (this.#inside = context), leave: () => (this.#inside = undefined) });
  }

  override computeOutputShape(inputShape: Shape | Shape[]): Shape {
    const shape = (Array.isArray(inputShape[0]) ? inputShape[0] : inputShape) as Shape;
    const [, , channels] = this.network.inputShape;
    if (shape.length === 4 && shape[3] === channels) return [shape[0] ?? null, this.network.classes];
    throw new CodaError({
      kind: 'argument',
      where: `networkLayer ${JSON.stringify(this.name)}: input`,
      problem: 'not images of this network',
      expected: `[N, H, W, ${channels}]`,
      got: `[${shape.map((size) => size ?? 'null').join(', ')}]`,
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    // tf.layers changes the case of every string in a config, except under the key `name`.
    return { ...super.getConfig(), network: { name: JSON.stringify(this.network.config) }, seed: this.#seed };
  }

  /** Throws a CodaError where the network's kind has no builder: see `registerNetwork`. */
  static override fromConfig<T extends tf.serialization.Serializable>(
    cls: tf.serialization.SerializableConstructor<T>,
    config: tf.serialization.ConfigDict,
  ): T {
    const { network, seed, name, trainable, batchInputShape, dtype } = config as unknown as {
      readonly network: { readonly name: string };
    } & Required<Pick<NetworkLayerOptions, 'seed' | 'name' | 'trainable' | 'batchInputShape' | 'dtype'>>;
    const Class = cls as unknown as new (network: Network, options: NetworkLayerOptions) => T;
    return new Class(networkFromConfig(network.name), { seed, name, trainable, batchInputShape, dtype });
  }

  /** The weights as they are now, by the network's names: the variables themselves, which stay the layer's. */
  namedWeights(): NamedTensors {
    return Object.fromEntries(Array.from(this.#variables, ([name, variable]) => [name, variable.read()]));
  }

  /** A copy of the weights, for a model file. */
  async weightArrays(): Promise<NamedArrays> {
    const arrays: Record<string, NdArray<'float32'>> = {};
    for (const [name, x] of Object.entries(this.namedWeights())) {
      arrays[name] = ndArray('float32', [...x.shape], Float32Array.from(await x.data()));
    }
    return arrays;
  }
}
tf.serialization.registerClass(NetworkLayer, 'coda-nets');

/**
 * The network as a layer: `tf.sequential({ layers: [networkLayer(network)] })`. It returns logits, so compile with the network's own loss,
 * `{ loss: (targets, logits) => network.loss(logits, targets) }`. To load what `save` has written, call `registerNetwork` first.
 */
export function networkLayer(network: Network, options: NetworkLayerOptions = {}): NetworkLayer {
  const expected = 'a network, such as codaNetwork(config)';
  checkObject('networkLayer: network', network, expected);
  if (typeof (network as Partial<Network>).forward !== 'function') {
    throw new CodaError({ kind: 'argument', where: 'networkLayer: network', problem: 'not a network', expected, got: 'another object' });
  }
  checkObject('networkLayer: options', options, '{ initial, seed, … }');
  return new NetworkLayer(network, options);
}

/** Drawn only when it is applied: a model that is being loaded takes zeros instead. */
function initializer(first: () => NdArray): Initializer {
  return {
    apply: () => {
      const { data, shape } = first();
      return tf.tensor(data as Float32Array, [...shape], 'float32');
    },
    getConfig: () => ({}),
    getClassName: () => 'CodaInitial',
    fromConfigUsesCustomObjects: () => false,
  };
}
