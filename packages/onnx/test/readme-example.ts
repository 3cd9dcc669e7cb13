import { encodeModel, printGraph, trace } from '@coda-nets/onnx';
import * as tf from '@tensorflow/tfjs-core';

const graph = trace(({ x, w }) => ({ y: tf.relu(tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D)) }), {
  inputs: { x: { shape: ['batch', 3], dtype: 'float32' } },
  constants: { w: { dtype: 'float32', shape: [3, 2], data: new Float32Array(6) } },
});
console.log(printGraph(graph));
export const bytes = encodeModel(graph, { metadata: { classes: '["a","b"]' } }); // opset 17
