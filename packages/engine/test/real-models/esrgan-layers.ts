/** The two layers that the super-resolution models of UpscalerJS need beside those of tf.layers, written from what their names and configs say. */
import * as tf from '@tensorflow/tfjs-core';
import { layers } from '@tensorflow/tfjs-layers';

const single = (x: tf.Tensor | tf.Tensor[]): tf.Tensor => (Array.isArray(x) ? (x[0] as tf.Tensor) : x);

/** x · β */
class MultiplyBeta extends layers.Layer {
  static readonly className = 'MultiplyBeta';
  readonly #beta: number;

  constructor(config: { beta: number }) {
    super(config as never);
    this.#beta = config.beta;
  }

  override call(x: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.mul(single(x), this.#beta);
  }
}

/** Channels to space: [N, H, W, s²·3] → [N, s·H, s·W, 3] */
function pixelShuffle(scale: number): typeof layers.Layer {
  return class extends layers.Layer {
    static readonly className = `PixelShuffle${scale}x`;

    override computeOutputShape(shape: (number | null)[]): (number | null)[] {
      return [shape[0] as number | null, null, null, 3];
    }

    override call(x: tf.Tensor | tf.Tensor[]): tf.Tensor {
      return tf.depthToSpace(single(x) as tf.Tensor4D, scale, 'NHWC');
    }
  } as unknown as typeof layers.Layer;
}

export function registerEsrganLayers(): void {
  for (const layer of [MultiplyBeta, ...[2, 3, 4, 8].map((scale) => pixelShuffle(scale))]) tf.serialization.registerClass(layer as never);
}
