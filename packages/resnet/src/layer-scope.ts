/** Where the layers of one forward pass find their weights and leave their new statistics. Lives for one call. */
import type * as tf from '@tensorflow/tfjs-core';
import { CodaError, type ForwardContext, type NamedTensors } from '@coda-nets/core';
import type { ResnetConfig } from './resnet-config.ts';

export class LayerScope {
  /** The new value of each statistic, by its full name. */
  readonly statistics: Record<string, tf.Tensor> = {};
  readonly context: ForwardContext;
  readonly batchNorm: ResnetConfig['batchNorm'];
  readonly #weights: NamedTensors;
  readonly #prefix: string;

  /** `prefix` stands before every name in `weights` and in `statistics`: `stem.` in a hybrid. */
  constructor(weights: NamedTensors, context: ForwardContext, { batchNorm }: Pick<ResnetConfig, 'batchNorm'>, prefix = '') {
    this.#weights = weights;
    this.context = context;
    this.batchNorm = batchNorm;
    this.#prefix = prefix;
  }

  weight<T extends tf.Tensor>(name: string): T {
    const full = this.#prefix + name;
    const tensor = Object.hasOwn(this.#weights, full) ? this.#weights[full] : undefined;
    if (tensor === undefined) {
      throw new CodaError({ kind: 'mismatch', where: `resnet: weight "${full}"`, problem: 'missing' });
    }
    return tensor as T;
  }

  setStatistic(name: string, value: tf.Tensor): void {
    this.statistics[this.#prefix + name] = value;
  }
}
