/** What a layer is given, and what it refuses: layers here take one tensor, and say which layer it was that could not. */
import { checkTensor, CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import type { layers, Shape } from '@tensorflow/tfjs-layers';

/** How errors call a layer: `DauConv2d "stem"`. */
export function placeOf(layer: layers.Layer): string {
  return `${layer.getClassName()} ${JSON.stringify(layer.name)}`;
}

/** The tensor of a call, which comes alone or in a list of one, as float32. */
export function oneTensor(layer: layers.Layer, inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
  const [tensor, ...more] = Array.isArray(inputs) ? inputs : [inputs];
  if (more.length > 0 || (Array.isArray(inputs) && tensor === undefined)) throw notOne(layer, (inputs as tf.Tensor[]).length);
  checkTensor(`${placeOf(layer)}: input`, tensor, '[N, …]', 'any');
  return tensor.dtype === 'float32' ? tensor : tf.cast(tensor, 'float32');
}

/** The shape of a call, which comes alone or in a list of one. Unknown sizes are null. */
export function oneShape(layer: layers.Layer, shape: Shape | Shape[]): Shape {
  if (!Array.isArray(shape[0])) return shape as Shape;
  if (shape.length > 1) throw notOne(layer, shape.length);
  return shape[0];
}

/** Throws the error of an input of another shape than the layer takes. */
export function refuseShape(layer: layers.Layer, expected: string, got: Shape, problem = 'not an input of this layer'): never {
  throw new CodaError({
    kind: 'argument',
    where: `${placeOf(layer)}: input`,
    problem,
    expected,
    got: `[${got.map((size) => size ?? 'null').join(', ')}]`,
  });
}

function notOne(layer: layers.Layer, got: number): CodaError {
  return new CodaError({
    kind: 'argument',
    where: `${placeOf(layer)}: input`,
    problem: 'the layer takes one tensor',
    expected: '1',
    got: `${got}`,
  });
}
