/**
 * The readout of a CoDA network as a layer of `tf.layers`: z_c = (1/T)·Σ_positions x[…, c] + b₀. arXiv 2109.13004, section 3.
 * A larger temperature T asks for more alignment. [N, …, C] → [N, C], logits: probabilities are their sigmoid.
 */
import * as tf from '@tensorflow/tfjs-core';
import { layers, type Shape } from '@tensorflow/tfjs-layers';
import * as v from 'valibot';
import { sizeOf } from '@coda-nets/core';
import { defaultLogitBias, sumPoolLogits as poolLogits, temperatureSchema } from '../readout.ts';
import { oneShape, oneTensor, placeOf, refuseShape } from './layer-input.ts';
import { finite, layerArguments, ownOptions, type LayerOptions } from './layer-options.ts';

export interface SumPoolLogitsOptions extends LayerOptions {
  /** T > 0. */
  readonly temperature: number;
  /** b₀, fixed; default ln(0.1 / 0.9). */
  readonly logitBias?: number;
}

const entries = { temperature: temperatureSchema, logitBias: v.optional(finite, defaultLogitBias) };

export class SumPoolLogits extends layers.Layer {
  /** @nocollapse */
  static readonly className = 'SumPoolLogits';
  readonly #options: v.InferOutput<v.StrictObjectSchema<typeof entries, undefined>>;

  /** Throws a CodaError that names the layer and the option. */
  constructor(options: SumPoolLogitsOptions) {
    super(layerArguments('SumPoolLogits', options));
    this.#options = ownOptions(entries, options, placeOf(this));
  }

  #scoresOnly = false;

  /** b₀: the part of every logit that no input contributes. */
  get logitBias(): number {
    return this.#options.logitBias;
  }

  /** Runs `fn`, which must be synchronous, while this layer gives z − b₀ from before b₀ is added, which rounds small scores away. */
  givingScores<T>(fn: () => T): T {
    this.#scoresOnly = true;
    try {
      return fn();
    } finally {
      this.#scoresOnly = false;
    }
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Parameters<layers.Layer['call']>[1]): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const x = oneTensor(this, inputs);
      const [batch, classes] = this.computeOutputShape(x.shape) as [number, number];
      const { temperature, logitBias } = this.#options;
      const positions = sizeOf(x.shape.slice(1, -1));
      return poolLogits(tf.reshape(x, [batch, positions, 1, classes]), temperature, this.#scoresOnly ? 0 : logitBias);
    });
  }

  override computeOutputShape(inputShape: Shape | Shape[]): Shape {
    const shape = oneShape(this, inputShape);
    const classes = shape.at(-1) ?? null;
    if (shape.length < 2 || classes === null) refuseShape(this, '[N, …, C]', shape);
    return [shape[0] ?? null, classes];
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), ...this.#options };
  }
}
tf.serialization.registerClass(SumPoolLogits, 'coda-nets');

/** The readout, as the last layer: `sumPoolLogits({ temperature: 64 })`. */
export function sumPoolLogits(options: SumPoolLogitsOptions): SumPoolLogits {
  return new SumPoolLogits(options);
}
