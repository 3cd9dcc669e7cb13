/** The contract every network fulfils: a config, named weights, taps, and a pure forward function. */
import type * as tf from '@tensorflow/tfjs-core';
import type { ForwardContext } from './forward-context.ts';
import type { NdArray } from './nd-array.ts';
import type { Random } from './random.ts';

export type NamedTensors = Readonly<Record<string, tf.Tensor>>;

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** A named depth of the network, at which an activation can be read and a contribution map made. */
export interface Tap {
  /** `input` is the first of every network. */
  readonly name: string;
  readonly channels: number;
  /** Input pixels a position of this tap is apart from the next. */
  readonly stride: number;
  /** Whether everything above is dynamic linear, so that contributions from here sum to z − b₀; else they are gradient × activation. */
  readonly exact: boolean;
}

export interface WeightSpec {
  readonly shape: readonly number[];
  /**
   * `parameter`: trained. `frozen`: a parameter kept as it is (a frozen stem's).
   * `statistic`: carried by the forward pass, without a gradient (running mean and variance).
   */
  readonly role: 'parameter' | 'frozen' | 'statistic';
  /** Whether weight decay applies: false for biases and norms. */
  readonly decay: boolean;
  /** The axis along which one unit's weights stand beside the next one's; the last where it is left out. */
  readonly unitAxis?: number;
  init(random: Random): NdArray<'float32'>;
}

export interface ForwardResult {
  /** [N, classes] */
  readonly logits: tf.Tensor2D;
  /** [N, classes]: z − b₀, the part of the logits that contributions sum to, from before b₀ was added; where it is left out, logits − `logitBias` serves. */
  readonly scores?: tf.Tensor2D;
  /** The new value of each weight of role `statistic` that changed; empty in inference. */
  readonly statistics: NamedTensors;
}

/** A network whose first part is frozen can be trained on that part's output, computed once. */
export interface FrozenStem {
  /** [H, W, C] of the features of one image. */
  readonly featureShape: readonly [number, number, number];
  /** images [N, H, W, 3] → features [N, H', W', C]; batch norm in inference mode. */
  embed(weights: NamedTensors, images: tf.Tensor4D): tf.Tensor4D;
  /** The rest of the network: equal to `forward` on images. */
  forwardHead(weights: NamedTensors, features: tf.Tensor4D, context: ForwardContext): ForwardResult;
}

/** How well the units of a dynamic linear layer align with what they see; both [N, H', W', units]. */
export type UnitAlignment = {
  /** ‖w_j‖ of the dynamic weight, bounded by 1. */
  readonly norm: tf.Tensor4D;
  /** cos ∠(w_j, p): 1 where the weight is aligned with its patch p. */
  readonly cosine: tf.Tensor4D;
};

/**
 * z − b₀ is a sum over the places q of a last map, and each is a function of places stride·q − reach … stride·q + reach of a tap alone, the same one
 * everywhere, with zeros around the tap.
 */
export interface Locality {
  readonly stride: number;
  readonly reach: number;
}

/**
 * The part of a network that is one linear map of its input, z − b₀ = W_{from→z}(a) a_from, with W chosen by the activations a of a forward
 * pass: the layers' maps in explicit form. All functions are made of ordinary operations, differentiable by weights, activations and vectors
 * alike, and take `activations` at `taps`, which the forward pass with the same weights gave (`recordTaps`). Check nothing: `linearMap` does.
 */
export interface DynamicLinear {
  /** Where the map may begin and end, from the deepest exact tap to the last layer. */
  readonly taps: readonly string[];
  /**
   * W_{from→to} v. `vectors` [m·N, …] have the shape of the activation at `from`, m for each image, image by image. Result of the shape of the
   * activation at `to`; without `to` it is [m·N, classes], temperature and pooling included, b₀ not.
   */
  apply(weights: NamedTensors, activations: NamedTensors, vectors: tf.Tensor4D, from: string, to?: string): tf.Tensor;
  /** Wᵀ_{from→to} y: the other way round. */
  applyTransposed(weights: NamedTensors, activations: NamedTensors, cotangents: tf.Tensor, from: string, to?: string): tf.Tensor4D;
  /** By layer, which is named by its output's tap. */
  alignment(weights: NamedTensors, activations: NamedTensors): Readonly<Record<string, UnitAlignment>>;
  /** Of one of `taps`: what a change there can reach. */
  localityAt(tap: string): Locality;
}

export interface Network {
  /** JSON-able, with a `kind` that names the builder (`resnet`, `hybrid`, `coda`): all that is needed to build this network again. */
  readonly config: JsonObject & { readonly kind: string };
  /** [H, W, C] as trained; fully convolutional networks accept other sizes. */
  readonly inputShape: readonly [number, number, number];
  readonly classes: number;
  /** From the input to the output. */
  readonly taps: readonly Tap[];
  /** By name, in the order of the forward pass. */
  readonly weights: Readonly<Record<string, WeightSpec>>;
  /** b₀: the part of every logit that no input contributes. Σ contributions of an exact tap = z − logitBias. */
  readonly logitBias: number;
  readonly frozenStem?: FrozenStem;
  /** The names with which a training forward pass calls `context.branch`, in its order. */
  readonly residualBranches?: readonly string[];
  /** What is above the deepest exact tap, where that is a stack of dynamic linear layers. */
  readonly dynamicLinear?: DynamicLinear;
  /** images [N, H, W, 3] in [0, 1]; weights by name. Pure; disposes nothing of its arguments. */
  forward(weights: NamedTensors, images: tf.Tensor4D, context: ForwardContext): ForwardResult;
  /** The training loss, a scalar: mean over the batch; targets [N, classes] one-hot or soft. */
  loss(logits: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar;
  /** [N, classes]: sigmoid for binary cross entropy, softmax for cross entropy. */
  probabilities(logits: tf.Tensor2D): tf.Tensor2D;
}
