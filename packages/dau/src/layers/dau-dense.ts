/**
 * A Dynamic Alignment Unit over vectors as a layer of `tf.layers`: `dauConv` with a patch of one position. For each of n units j:
 *
 *     out_j = w_j(x)ᵀ x      w_j = g(A_j B x + b_j)      g as in `DauConv2d`      x ∈ R^d
 *
 *     A [d, n, r]      B [d, r]      b [d, n]      [N, …, d] → [N, …, n]
 *
 * arXiv 2109.13004, section 3.
 */
import * as tf from '@tensorflow/tfjs-core';
import { layers, type Shape } from '@tensorflow/tfjs-layers';
import type * as v from 'valibot';
import { anyUnit } from './any-unit.ts';
import { dauVariables, type DauVariables } from './dau-variables.ts';
import { oneShape, oneTensor, placeOf, refuseShape } from './layer-input.ts';
import { checkUnitEpsilon, layerArguments, ownOptions, size, unitEntries, type UnitOptions } from './layer-options.ts';

export interface DauDenseOptions extends UnitOptions {
  /** n */
  readonly units: number;
}

const entries = { units: size, ...unitEntries };

export class DauDense extends layers.Layer {
  /** @nocollapse */
  static readonly className = 'DauDense';
  readonly #options: v.InferOutput<v.StrictObjectSchema<typeof entries, undefined>>;
  #weights: DauVariables | undefined;

  /** Throws a CodaError that names the layer and the option. */
  constructor(options: DauDenseOptions) {
    super(layerArguments('DauDense', options));
    this.#options = ownOptions(entries, options, placeOf(this));
    checkUnitEpsilon(placeOf(this), this.#options);
  }

  override build(inputShape: Shape | Shape[]): void {
    const { units, rank, norm, seed } = this.#options;
    const d = this.#check(oneShape(this, inputShape)).at(-1) as number;
    this.#weights = dauVariables({ patch: [d], units, rank, norm, seed, name: this.name }, (name, shape, initializer) =>
      this.addWeight(name, shape, 'float32', initializer),
    );
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Parameters<layers.Layer['call']>[1]): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const x = oneTensor(this, inputs);
      const d = this.#check(x.shape).at(-1) as number;
      const { units, rank, norm, eps } = this.#options;
      const { A, B, b } = this.#weights as DauVariables;
      const weights = {
        A: tf.reshape(A.read(), [1, 1, d, units, rank]),
        B: tf.reshape(B.read(), [1, 1, d, rank]),
        ...(b !== undefined && { b: tf.reshape(b.read(), [1, 1, d, units]) }),
      };
      const y = anyUnit(tf.reshape(x, [x.size / d, 1, 1, d]), weights, { norm, eps });
      return tf.reshape(y, [...x.shape.slice(0, -1), units]);
    });
  }

  override computeOutputShape(inputShape: Shape | Shape[]): Shape {
    return [...this.#check(oneShape(this, inputShape)).slice(0, -1), this.#options.units];
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), ...this.#options };
  }

  /** [N, …, d]: d known and, once built, the same. */
  #check(shape: Shape): Shape {
    const d = shape.at(-1) ?? null;
    const built = this.#weights?.B.shape[0];
    if (shape.length < 2 || d === null || (built !== undefined && built !== d)) {
      refuseShape(this, `[N, …, ${built ?? 'd'}]`, shape);
    }
    return shape;
  }
}
tf.serialization.registerClass(DauDense, 'coda-nets');

/** A dense DAU layer: `tf.sequential({ layers: [dauDense({ units: 10, rank: 8, inputShape: [64] })] })`. */
export function dauDense(options: DauDenseOptions): DauDense {
  return new DauDense(options);
}
