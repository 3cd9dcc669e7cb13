/**
 * `dauConv` (and `edauConv`, for its norms) as a layer of `tf.layers`. At each position, with the k×k patch p ∈ R^d (d = k²·C) and for each of n units j:
 *
 *     out_j = w_j(p)ᵀ p      w_j = g(A_j B p + b_j)      SQ: g(v) = v/‖v‖ · ‖v‖²/(1+‖v‖²)      L2: g(v) = v/‖v‖
 *
 *     A [k, k, C, n, r]      B [k, k, C, r]      b [k, k, C, n]      [N, H, W, C] → [N, H', W', n]
 *
 * arXiv 2109.13004, section 3. No activation and no bias follow: that is what keeps a stack of these layers one input-dependent linear map.
 */
import { CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { layers, type Shape } from '@tensorflow/tfjs-layers';
import * as v from 'valibot';
import { anyUnit } from './any-unit.ts';
import { largestPadding } from '../patches.ts';
import { dauVariables, type DauVariables } from './dau-variables.ts';
import { oneShape, oneTensor, placeOf, refuseShape } from './layer-input.ts';
import { checkUnitEpsilon, layerArguments, ownOptions, size, unitEntries, zeros, type UnitOptions } from './layer-options.ts';
import { positions, zerosAround, type Padding } from './padding.ts';

export interface DauConv2dOptions extends UnitOptions {
  /** n: units, which are the output channels. */
  readonly filters: number;
  /** k: side of the square kernel. */
  readonly kernelSize: number | readonly [number, number];
  /** Default 1. */
  readonly strides?: number | readonly [number, number];
  /** 'valid' (no zeros, the default), 'same' as TensorFlow has it, or the number of zeros on each side, at most the kernel's width. */
  readonly padding?: Padding;
}

/** One number, also written as a pair of equal ones. */
const square = v.pipe(
  v.union([
    size,
    v.pipe(
      v.tuple([size, size]),
      v.check(([height, width]) => height === width, 'not square'),
    ),
  ]),
  v.transform((side) => (typeof side === 'number' ? side : side[0])),
);

const entries = {
  filters: size,
  kernelSize: square,
  strides: v.optional(square, 1),
  padding: v.optional(v.union([v.literal('valid'), v.literal('same'), zeros]), 'valid'),
  ...unitEntries,
};

export class DauConv2d extends layers.Layer {
  /** @nocollapse */
  static readonly className = 'DauConv2d';
  readonly #options: v.InferOutput<v.StrictObjectSchema<typeof entries, undefined>>;
  #weights: DauVariables | undefined;

  /** Throws a CodaError that names the layer and the option. */
  constructor(options: DauConv2dOptions) {
    super(layerArguments('DauConv2d', options));
    this.#options = ownOptions(entries, options, placeOf(this));
    checkUnitEpsilon(placeOf(this), this.#options);
    const { padding, kernelSize } = this.#options;
    if (typeof padding !== 'number' || padding <= largestPadding(kernelSize)) return;
    throw new CodaError({
      kind: 'argument',
      where: `${placeOf(this)}: padding`,
      problem: 'with more zeros than the kernel spans, whole rings of patches would have nothing else in them',
      expected: `at most ${largestPadding(kernelSize)}, the width of the kernel`,
      got: `${padding}`,
    });
  }

  override build(inputShape: Shape | Shape[]): void {
    const { filters: units, kernelSize: k, rank, norm, seed } = this.#options;
    const channels = this.#check(oneShape(this, inputShape))[3] as number;
    this.#weights = dauVariables({ patch: [k, k, channels], units, rank, norm, seed, name: this.name }, (name, shape, initializer) =>
      this.addWeight(name, shape, 'float32', initializer),
    );
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Parameters<layers.Layer['call']>[1]): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const x = oneTensor(this, inputs) as tf.Tensor4D;
      const [, height, width] = this.#check(x.shape) as tf.Tensor4D['shape'];
      const { strides: stride, norm, eps } = this.#options;
      const { A, B, b } = this.#weights as DauVariables;
      const weights = { A: A.read(), B: B.read(), ...(b !== undefined && { b: b.read() }) };
      const rows = zerosAround(height, this.#options);
      const columns = zerosAround(width, this.#options);
      const [padding] = rows;
      if ([...rows, ...columns].every((zeros) => zeros === padding)) {
        return anyUnit(x, weights, { stride, padding, norm, eps });
      }
      return anyUnit(tf.pad(x, [[0, 0], [...rows], [...columns], [0, 0]]), weights, { stride, norm, eps });
    });
  }

  override computeOutputShape(inputShape: Shape | Shape[]): Shape {
    const [batch, height, width] = this.#check(oneShape(this, inputShape)) as [number | null, number | null, number | null];
    const along = (length: number | null): number | null => (length === null ? null : positions(length, this.#options));
    return [batch, along(height), along(width), this.#options.filters];
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), ...this.#options };
  }

  /** [N, H, W, C]: C known and, once built, the same; H and W, where known, not below the kernel. */
  #check(shape: Shape): Shape {
    const [, height = null, width = null, channels = null] = shape;
    const built = this.#weights?.B.shape[2];
    if (shape.length !== 4 || channels === null || (built !== undefined && built !== channels)) {
      refuseShape(this, `[N, H, W, ${built ?? 'C'}]`, shape);
    }
    for (const length of [height, width]) {
      if (length !== null && positions(length, this.#options) < 1) {
        const { kernelSize: k, padding } = this.#options;
        const least = k - 2 * (typeof padding === 'number' ? padding : 0);
        refuseShape(this, `height and width at least ${least}`, shape, `a ${k}×${k} kernel with padding ${padding} does not fit`);
      }
    }
    return shape;
  }
}
tf.serialization.registerClass(DauConv2d, 'coda-nets');

/** A convolutional DAU layer: `tf.sequential({ layers: [dauConv2d({ filters: 8, kernelSize: 3, rank: 4, inputShape: [32, 32, 6] })] })`. */
export function dauConv2d(options: DauConv2dOptions): DauConv2d {
  return new DauConv2d(options);
}
