/** `encodeRgb6` as a layer of `tf.layers`: [N, H, W, 3] in [0, 1] → [r, g, b, 1−r, 1−g, 1−b], [N, H, W, 6]. arXiv 2109.13004. */
import * as tf from '@tensorflow/tfjs-core';
import { layers, type Shape } from '@tensorflow/tfjs-layers';
import { encodeRgb6 } from '../rgb6.ts';
import { oneShape, oneTensor, placeOf, refuseShape } from './layer-input.ts';
import { layerArguments, ownOptions, type LayerOptions } from './layer-options.ts';

export class Rgb6 extends layers.Layer {
  /** @nocollapse */
  static readonly className = 'Rgb6';

  constructor(options: LayerOptions = {}) {
    super(layerArguments('Rgb6', options));
    ownOptions({}, options, placeOf(this));
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Parameters<layers.Layer['call']>[1]): tf.Tensor {
    this.invokeCallHook(inputs, kwargs);
    const x = oneTensor(this, inputs);
    this.computeOutputShape(x.shape);
    return encodeRgb6(x as tf.Tensor4D);
  }

  override computeOutputShape(inputShape: Shape | Shape[]): Shape {
    const shape = oneShape(this, inputShape);
    if (shape.length !== 4 || shape[3] !== 3) refuseShape(this, '[N, H, W, 3]', shape);
    return [...shape.slice(0, 3), 6];
  }
}
tf.serialization.registerClass(Rgb6, 'coda-nets');

/** The encoding of images, as the first layer: `rgb6({ inputShape: [32, 32, 3] })`. */
export function rgb6(options: LayerOptions = {}): Rgb6 {
  return new Rgb6(options);
}
