/** What an attribution method is. A method of one's own is one function: a `formula`, or an `attribute`. */
import type { JsonObject, NdArray } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';
import type { TapModel } from '../tap-model.ts';

interface Named {
  readonly name: string;
  /** Recorded with every result: numbers of one method with other parameters are not comparable. */
  readonly parameters: JsonObject;
}

/** A formula of activation and gradient: at all taps from one forward and one backward pass. */
export interface OnePassMethod extends Named {
  /** activation a [N, h, w, C] of a tap and ∂z_c/∂a of the same shape → map [N, h, w]. Made of tfjs ops, image by image independent. */
  formula(activation: tf.Tensor4D, gradient: tf.Tensor4D): tf.Tensor3D;
  /** The scope both passes run in (`withDynamicWeightsHeld`, `withGradientRules`); without it the gradient is the true one. */
  within?<T>(fn: () => T): T;
}

/** Anything else: asks the network above one tap as often as it likes, with the tap's activation as its input. */
export interface ProbingMethod extends Named {
  /**
   * activations [N, h, w, C] of the tap; m classes for each image, image by image [N·m]. Result: maps [N·m, h, w].
   * Must not depend on how many images or classes come at once.
   */
  attribute(model: TapModel, activations: NdArray<'float32'>, targets: Int32Array): Promise<NdArray<'float32'>>;
}

export type Method = OnePassMethod | ProbingMethod;
